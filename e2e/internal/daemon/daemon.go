// Package daemon starts snapshotter daemons as child processes.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/proxy"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/poll"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/tools"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthapi "google.golang.org/grpc/health/grpc_health_v1"
)

const (
	startBound = 60 * time.Second
	stopBound  = 30 * time.Second
	logTail    = 8 << 10
	// What a process that ends in order after SIGTERM reports; a Java virtual machine counts the signal in.
	exitTerminated = 128 + int(syscall.SIGTERM)
)

// Options says how to start a daemon.
type Options struct {
	// Root is the directory of its snapshots.
	Root string
	// State is the directory of its socket, log and runtime state. It is made when it is missing.
	State string
	// ContainerdAddress is the socket of the containerd whose containers it may kill; "" for none.
	ContainerdAddress string
	// Configuration is the content of its configuration file; "" for none.
	Configuration string
	// UnmountOnStop makes an ordinary stop unmount everything.
	UnmountOnStop bool
	// Arguments are added to the command line.
	Arguments []string
}

// Daemon is a running daemon.
type Daemon struct {
	// Socket is where it serves.
	Socket string
	// Root is the directory of its snapshots.
	Root string

	t       testing.TB
	options Options
	command *exec.Cmd
	log     string
	ended   chan struct{}
}

// IsStock says whether the environment asks for the stock snapshotter in place of the daemon, to try the tests themselves.
func IsStock() bool {
	return os.Getenv("E2E_PEER") == "stock"
}

// Path is the daemon's program.
func Path() string {
	if path := os.Getenv("VOLATILE_SNAPSHOTTER"); path != "" {
		return path
	}
	return filepath.Join(tools.ModuleDirectory(), "..", "snapshotter", "target", "dist", "bin", "containerd-volatile-grpc")
}

// Start starts the daemon and waits until it serves. It is stopped when the test ends.
func Start(t testing.TB, options Options) *Daemon {
	t.Helper()
	if err := os.MkdirAll(options.State, 0o711); err != nil {
		t.Fatal(err)
	}
	d := &Daemon{
		Socket:  filepath.Join(options.State, "snapshotter.sock"),
		Root:    options.Root,
		t:       t,
		options: options,
		log:     filepath.Join(options.State, "snapshotter.log"),
	}
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", d.command.Path, d.Log())
		}
	})
	d.start()
	return d
}

// Restart starts the daemon again, after it was stopped or killed, with the same options.
func (d *Daemon) Restart() {
	d.t.Helper()
	d.start()
}

func (d *Daemon) start() {
	d.t.Helper()
	d.command = d.build(d.options)
	ended := make(chan struct{})
	d.ended = ended
	// A restarted daemon goes on in the same log.
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	d.command.Stdout, d.command.Stderr = log, log
	if err := d.command.Start(); err != nil {
		close(ended)
		d.t.Fatalf("start %s: %v", d.command.Path, err)
	}
	command := d.command
	go func() {
		// What it ended with is looked up in ProcessState.
		_ = command.Wait()
		close(ended)
	}()
	if err := poll.Until(startBound, d.serves); err != nil {
		d.t.Fatalf("%s does not serve: %v", d.command.Path, err)
	}
}

func (d *Daemon) build(options Options) *exec.Cmd {
	d.t.Helper()
	if IsStock() {
		arguments := []string{"--root", options.Root, "--address", d.Socket}
		return exec.Command(filepath.Join(tools.Bin(d.t), "stock-snapshotter"), arguments...)
	}
	arguments := []string{"serve", "--root", options.Root, "--state", options.State, "--address", d.Socket}
	if options.ContainerdAddress != "" {
		arguments = append(arguments, "--containerd-address", options.ContainerdAddress)
	}
	if options.Configuration != "" {
		file := filepath.Join(options.State, "config.toml")
		if err := os.WriteFile(file, []byte(options.Configuration), 0o600); err != nil {
			d.t.Fatal(err)
		}
		arguments = append(arguments, "--config", file)
	}
	if options.UnmountOnStop {
		arguments = append(arguments, "--unmount-on-stop")
	}
	return exec.Command(Path(), slices.Concat(arguments, options.Arguments)...)
}

// ProcessID is the daemon's process.
func (d *Daemon) ProcessID() int {
	return d.command.Process.Pid
}

// Connect opens a connection to the daemon that the caller closes.
func (d *Daemon) Connect() (*grpc.ClientConn, error) {
	return dial(d.Socket)
}

// Dial opens a connection to the daemon that is closed when the test ends.
func (d *Daemon) Dial() *grpc.ClientConn {
	d.t.Helper()
	connection, err := dial(d.Socket)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// Snapshotter is containerd's own client of the daemon.
func (d *Daemon) Snapshotter() snapshots.Snapshotter {
	d.t.Helper()
	return proxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(d.Dial()), "volatile")
}

func dial(socket string) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix://"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
			grpc.MaxCallSendMsgSize(defaults.DefaultMaxSendMsgSize)))
}

func (d *Daemon) serves() error {
	select {
	case <-d.ended:
		// Waiting on is useless, but the bound is not known here; the caller's message has the reason.
		d.t.Fatalf("%s ended: %s\n%s", d.command.Path, d.command.ProcessState, d.Log())
	default:
	}
	if _, err := os.Stat(d.Socket); err != nil {
		return err
	}
	// A connection of its own each time: a refused one would wait longer and longer before it tries again.
	connection, err := dial(d.Socket)
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	answer, err := healthapi.NewHealthClient(connection).Check(ctx, &healthapi.HealthCheckRequest{})
	if err != nil {
		return err
	}
	if answer.Status != healthapi.HealthCheckResponse_SERVING {
		return fmt.Errorf("health is %s", answer.Status)
	}
	return nil
}

// Stop ends the daemon in order. Only the first call does something.
func (d *Daemon) Stop() error {
	select {
	case <-d.ended:
		return d.verdict()
	default:
	}
	if err := d.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", d.command.Path, err)
	}
	select {
	case <-d.ended:
		return d.verdict()
	case <-time.After(stopBound):
		d.Kill()
		return fmt.Errorf("%s did not stop within %s\n%s", d.command.Path, stopBound, d.Log())
	}
}

// Kill ends the daemon without giving it time for anything.
func (d *Daemon) Kill() {
	// It may have ended by itself a moment ago.
	_ = d.command.Process.Kill()
	<-d.ended
}

func (d *Daemon) verdict() error {
	state := d.command.ProcessState
	if state == nil {
		// It could not be started, which has failed the test already.
		return nil
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		if status.Signal() == syscall.SIGTERM || status.Signal() == syscall.SIGKILL {
			return nil
		}
	}
	if code := state.ExitCode(); code != 0 && code != exitTerminated {
		return fmt.Errorf("%s ended with %s\n%s", d.command.Path, state, d.Log())
	}
	return nil
}

// Log returns the end of the daemon's log.
func (d *Daemon) Log() string {
	content, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-logTail):])
}
