// Command stock-snapshotter serves containerd's own overlayfs snapshotter on a unix socket, as a proxy plugin would.
// It is the peer that benchmarks compare with and the proof that the conformance harness itself is right.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/contrib/snapshotservice"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthapi "google.golang.org/grpc/health/grpc_health_v1"
)

type settings struct {
	root, address        string
	volatile, syncRemove bool
	upperdirLabel        bool
	mountOptions         string
}

func main() {
	var s settings
	flag.StringVar(&s.root, "root", "", "directory of the snapshots (required)")
	flag.StringVar(&s.address, "address", "", "unix socket to serve on (required)")
	flag.BoolVar(&s.volatile, "volatile", false, "add the mount option volatile, which is unsafe: nobody looks for writeback errors")
	flag.BoolVar(&s.syncRemove, "sync-remove", false, "delete directories in Remove instead of in Cleanup")
	flag.BoolVar(&s.upperdirLabel, "upperdir-label", false, "show the upper directory as a label")
	flag.StringVar(&s.mountOptions, "mount-options", "", "more mount options, separated by commas")
	flag.Parse()
	if err := serve(s); err != nil {
		fmt.Fprintln(os.Stderr, "stock-snapshotter:", err)
		os.Exit(1)
	}
}

func serve(s settings) error {
	if s.root == "" || s.address == "" || flag.NArg() > 0 {
		return errors.New("--root and --address are required, and nothing else is taken")
	}
	snapshotter, err := overlay.NewSnapshotter(s.root, options(s)...)
	if err != nil {
		return fmt.Errorf("open %s: %w", s.root, err)
	}
	defer snapshotter.Close()

	// Only a socket that a killed server left behind may be in the way.
	if err := os.Remove(s.address); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", s.address)
	if err != nil {
		return err
	}
	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
		grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
	)
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(snapshotter))
	healthapi.RegisterHealthServer(server, health.NewServer())

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		server.GracefulStop()
	}()
	return server.Serve(listener)
}

func options(s settings) []overlay.Opt {
	var opts []overlay.Opt
	// containerd's own plugin removes in Cleanup unless it is told otherwise.
	if !s.syncRemove {
		opts = append(opts, overlay.AsynchronousRemove)
	}
	if s.upperdirLabel {
		opts = append(opts, overlay.WithUpperdirLabel)
	}
	var mountOptions []string
	if s.volatile {
		mountOptions = append(mountOptions, "volatile")
	}
	if s.mountOptions != "" {
		mountOptions = append(mountOptions, strings.Split(s.mountOptions, ",")...)
	}
	if len(mountOptions) > 0 {
		opts = append(opts, overlay.WithMountOptions(mountOptions))
	}
	return opts
}
