package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
)

// The stages of a container's upper, in their order.
const (
	stagePrepare = iota
	stageMounts
	stageMount
	stageWrite
	stageUnmount
	stageRemove
	stageCycle
	stages
)

var stageNames = [stages]string{"prepare", "mounts", "mount", "write", "unmount", "remove", "cycle"}

// load is what a container does between mount and unmount.
type load struct {
	bytes  int64
	fsyncs int
}

// runner runs cycles of one peer.
type runner struct {
	peer *peer
	// targets holds one directory to mount on for each caller.
	targets []string
	load    load
	// cycles is how many were begun.
	cycles atomic.Int64
}

// samples holds the durations of each stage.
type samples [stages][]time.Duration

func (s *samples) add(other *samples) {
	for stage := range stages {
		s[stage] = append(s[stage], other[stage]...)
	}
}

// batch lets all callers run cycles side by side until the number of cycles or the time is used up.
func (r *runner) batch(ctx context.Context, cycles int, deadline time.Time) (*samples, error) {
	var (
		group  sync.WaitGroup
		mutex  sync.Mutex
		all    samples
		failed error
		left   atomic.Int64
	)
	left.Store(int64(cycles))
	for _, target := range r.targets {
		group.Go(func() {
			var own samples
			var err error
			for err == nil && left.Add(-1) >= 0 && time.Now().Before(deadline) {
				err = r.cycle(ctx, target, &own)
			}
			mutex.Lock()
			defer mutex.Unlock()
			all.add(&own)
			failed = errors.Join(failed, err)
		})
	}
	group.Wait()
	return &all, failed
}

// cycle runs the life of one upper and notes how long each stage took.
func (r *runner) cycle(ctx context.Context, target string, own *samples) error {
	key := fmt.Sprintf("%scontainer-%d", r.peer.prefix, r.cycles.Add(1))
	var taken [stages]time.Duration
	begun := time.Now()
	lap := begun
	done := func(stage int) {
		now := time.Now()
		taken[stage] = now.Sub(lap)
		lap = now
	}

	if _, err := r.peer.snapshotter.Prepare(ctx, key, r.peer.top()); err != nil {
		return fmt.Errorf("%s: prepare %s: %w", r.peer.name, key, err)
	}
	done(stagePrepare)
	mounts, err := r.peer.snapshotter.Mounts(ctx, key)
	if err != nil {
		return fmt.Errorf("%s: mounts of %s: %w", r.peer.name, key, err)
	}
	done(stageMounts)
	if err := mount.All(mounts, target); err != nil {
		return fmt.Errorf("%s: mount %v: %w", r.peer.name, mounts, err)
	}
	done(stageMount)
	if err := r.load.write(target); err != nil {
		return errors.Join(fmt.Errorf("%s: write in %s: %w", r.peer.name, key, err), mount.UnmountAll(target, 0))
	}
	done(stageWrite)
	if err := mount.UnmountAll(target, 0); err != nil {
		return fmt.Errorf("%s: unmount %s: %w", r.peer.name, target, err)
	}
	done(stageUnmount)
	if err := r.peer.snapshotter.Remove(ctx, key); err != nil {
		return fmt.Errorf("%s: remove %s: %w", r.peer.name, key, err)
	}
	done(stageRemove)
	taken[stageCycle] = lap.Sub(begun) - taken[stageWrite]
	for stage := range stages {
		own[stage] = append(own[stage], taken[stage])
	}
	return nil
}

// write writes and syncs in equal steps.
func (l load) write(directory string) error {
	if l.bytes == 0 && l.fsyncs == 0 {
		return nil
	}
	file, err := os.Create(filepath.Join(directory, "snapshotter-bench.data"))
	if err != nil {
		return err
	}
	defer file.Close()
	steps := int64(max(l.fsyncs, 1))
	for step := range steps {
		if err := writeZeros(file, l.bytes*(step+1)/steps-l.bytes*step/steps); err != nil {
			return err
		}
		if l.fsyncs > 0 {
			if err := file.Sync(); err != nil {
				return err
			}
		}
	}
	return file.Close()
}
