package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
)

const (
	startPoll  = time.Millisecond
	startBound = time.Minute
)

type startResult struct {
	Kind              string  `json:"kind"`
	Peer              string  `json:"peer"`
	Starts            int     `json:"starts"`
	MedianMillisecond float64 `json:"median_ms"`
	WorstMilliseconds float64 `json:"worst_ms"`
}

// runStart measures the time from the start of a daemon to its first answer.
func runStart(ctx context.Context, arguments []string) error {
	var peerList peerFlags
	flags := flag.NewFlagSet("start", flag.ExitOnError)
	flags.Var(&peerList, "peer", "NAME=SOCKET of the daemon that is started, once")
	rounds := flags.Int("rounds", 5, "starts")
	cold := flags.Bool("cold", false, "empty the kernel's caches before each start")
	unmount := flags.String("unmount", "", "directory below which everything is unmounted before each start")
	// ExitOnError: it does not return.
	_ = flags.Parse(arguments)
	command := flags.Args()
	if len(peerList) != 1 || len(command) == 0 || *rounds < 1 {
		return errors.New("want one --peer and, after --, the command that starts it")
	}
	var taken []float64
	worst := 0.0
	for range *rounds {
		if err := beforeStart(*cold, *unmount); err != nil {
			return err
		}
		duration, err := startOnce(ctx, peerList, command)
		if err != nil {
			return err
		}
		taken = append(taken, milliseconds(duration))
		worst = max(worst, milliseconds(duration))
	}
	result := startResult{
		Kind: "start", Peer: peerList[0].name, Starts: *rounds, MedianMillisecond: median(taken), WorstMilliseconds: worst,
	}
	return report(result, "%-16s first answer after %.0f ms (median of %d starts, worst %.0f ms)",
		result.Peer, result.MedianMillisecond, result.Starts, worst)
}

func beforeStart(cold bool, directory string) error {
	if directory != "" {
		if err := unmountBelow(directory); err != nil {
			return err
		}
	}
	if !cold {
		return nil
	}
	syscall.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

func unmountBelow(directory string) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(directory))
	if err != nil {
		return err
	}
	for _, mount := range slices.Backward(mounts) {
		if mount.Mountpoint == directory {
			continue
		}
		if err := syscall.Unmount(mount.Mountpoint, syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", mount.Mountpoint, err)
		}
	}
	return nil
}

func startOnce(ctx context.Context, peerList peerFlags, arguments []string) (time.Duration, error) {
	command := exec.Command(arguments[0], arguments[1:]...)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	begun := time.Now()
	if err := command.Start(); err != nil {
		return 0, err
	}
	duration, err := firstAnswer(ctx, peerList, begun)
	// It may have ended by itself; then there was no answer, and that is the error.
	_ = command.Process.Signal(syscall.SIGTERM)
	// How it ends says nothing about how it started.
	_ = command.Wait()
	return duration, err
}

// firstAnswer waits until the daemon says that it does not know a snapshot.
func firstAnswer(ctx context.Context, peerList peerFlags, begun time.Time) (time.Duration, error) {
	for {
		// A connection that was refused would wait longer and longer before it tries again.
		if _, err := os.Stat(peerList[0].socket); err == nil {
			peers, err := connect(peerList)
			if err != nil {
				return 0, err
			}
			_, err = peers[0].snapshotter.Stat(ctx, "bench/start/none")
			disconnect(peers)
			if errdefs.IsNotFound(err) {
				return time.Since(begun), nil
			}
		}
		if time.Since(begun) > startBound || ctx.Err() != nil {
			return 0, fmt.Errorf("%s: no answer on %s within %s", peerList[0].name, peerList[0].socket, time.Since(begun))
		}
		time.Sleep(startPoll)
	}
}
