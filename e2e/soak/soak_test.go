// Package soak runs thousands of life cycles of containers and layers against one daemon, with errors of the disk among them, and
// looks whether anything grows that should not.
package soak

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/proxy"
	"github.com/containerd/errdefs"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/daemon"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/poll"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/sandbox"
)

var (
	cycles   = flag.Int("soak.cycles", 4_000, "life cycles, after a fifth as many to warm up")
	episodes = flag.Int("soak.episodes", 4, "how often the disk loses writes meanwhile")
	workers  = flag.Int("soak.workers", 8, "life cycles at once")
	seed     = flag.Uint64("soak.seed", uint64(time.Now().UnixNano()), "for the mix of life cycles; the order of events is not repeated with it")
)

const (
	waitBound = time.Minute
	base      = "soak/0/base"
	poisoned  = "containerd.io/snapshot/volatile.poisoned"
)

func TestMain(m *testing.M) {
	flag.Parse()
	sandbox.Main(m)
}

func TestNothingGrows(t *testing.T) {
	t.Logf("seed %d, %d cycles, %d episodes, %d at once", *seed, *cycles, *episodes, *workers)
	// An xfs tries again to write its own blocks; an ext4 that can not write one of them gives up, now and then.
	made := makeFaultyDisk(t, "xfs")
	state, err := os.MkdirTemp("", "e2e-soak-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(state); err != nil {
			t.Error(err)
		}
	})
	served := daemon.Start(t, daemon.Options{
		Root: filepath.Join(made.mountpoint(), "root"), State: state, UnmountOnStop: true,
		// Every poisoned snapshot has a log line, and so has every RPC that fails.
		Arguments: []string{"--log-level", "error"},
	})
	s := &soak{t: t, disk: made, daemon: served, client: served.Snapshotter(), work: t.TempDir()}
	if err := made.makeReserves(*episodes + 1); err != nil {
		t.Fatal(err)
	}
	s.makeBase()

	s.run(max(*cycles/5, 100), 1)
	before := s.settled(nil)
	s.run(*cycles, *episodes)
	after := s.settled(&before)
	s.report(before, after)
}

// soak is one daemon with its load.
type soak struct {
	t      *testing.T
	disk   *faultyDisk
	daemon *daemon.Daemon
	// One for all that workers do not do: each is a connection, and those are counted.
	client snapshots.Snapshotter
	work   string

	// Held for reading by each step of a life cycle, so that the disk fails between steps: directories that are made while it fails
	// would make ext4 give up.
	steps   sync.RWMutex
	number  atomic.Int64
	counted counts
}

// counts say what has happened.
type counts struct {
	containers, layers, committed, poisoned, givenUp, refused, episodes atomic.Int64
}

func (s *soak) makeBase() {
	s.t.Helper()
	snapshotter := s.client
	mounts, err := snapshotter.Prepare(s.t.Context(), "soak/0/extract-base", "")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := writeLayer(mounts, "base"); err != nil {
		s.t.Fatal(err)
	}
	if err := snapshotter.Commit(s.t.Context(), base, "soak/0/extract-base"); err != nil {
		s.t.Fatal(err)
	}
}

// run makes life cycles, and episodes of a failing disk evenly among them.
func (s *soak) run(count, failures int) {
	s.t.Helper()
	var left atomic.Int64
	left.Store(int64(count))
	ended := make(chan struct{})
	var group sync.WaitGroup
	for worker := range *workers {
		group.Go(func() { s.worker(worker, &left) })
	}
	go func() {
		group.Wait()
		close(ended)
	}()
	for episode := 1; episode <= failures; episode++ {
		due := int64(count - count*episode/(failures+1))
		err := poll.Until(10*waitBound, func() error {
			if now := left.Load(); now > due && !s.t.Failed() {
				return fmt.Errorf("%d cycles are left", now)
			}
			return nil
		})
		if err != nil {
			s.t.Error(err)
		}
		s.loseWrites()
	}
	<-ended
	if s.t.Failed() {
		s.t.FailNow()
	}
}

// worker is one worker, with a new connection now and then.
func (s *soak) worker(worker int, left *atomic.Int64) {
	random := rand.New(rand.NewPCG(*seed, uint64(worker)))
	for !s.t.Failed() {
		connection, err := s.daemon.Connect()
		if err != nil {
			s.t.Error(err)
			return
		}
		client := proxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(connection), "volatile")
		for range 100 {
			if left.Add(-1) < 0 {
				break
			}
			if err := s.cycle(random, client); err != nil {
				s.t.Error(err)
				break
			}
		}
		if err := connection.Close(); err != nil {
			s.t.Error(err)
		}
		if left.Load() <= 0 {
			return
		}
	}
}

func (s *soak) cycle(random *rand.Rand, client snapshots.Snapshotter) error {
	switch random.IntN(20) {
	case 0, 1, 2:
		return s.layer(client)
	case 3:
		return s.givenUp(random, client)
	default:
		return s.container(client)
	}
}

// step does something while the disk does not fail.
func (s *soak) step(do func() error) error {
	s.steps.RLock()
	defer s.steps.RUnlock()
	return do()
}

func (s *soak) key(client string) string {
	return fmt.Sprintf("soak/%d/%s", s.number.Add(1), client)
}

// container is prepared, mounted, written to, unmounted and removed.
func (s *soak) container(client snapshots.Snapshotter) error {
	s.counted.containers.Add(1)
	key := s.key("container")
	ctx := context.Background()
	target, err := os.MkdirTemp(s.work, "container-")
	if err != nil {
		return err
	}
	defer os.Remove(target)
	err = s.step(func() error {
		_, err := client.Prepare(ctx, key, base)
		return err
	})
	if err == nil {
		err = s.step(func() error { return runContainer(ctx, client, key, target) })
	}
	return s.remove(client, key, err)
}

func runContainer(ctx context.Context, client snapshots.Snapshotter, key, target string) error {
	mounts, err := client.Mounts(ctx, key)
	if err != nil {
		return err
	}
	if err := mount.All(mounts, target); err != nil {
		return err
	}
	for file := range 5 {
		if err = os.WriteFile(filepath.Join(target, fmt.Sprint(file)), []byte(key), 0o600); err != nil {
			break
		}
	}
	if err == nil {
		_, err = client.Usage(ctx, key)
	}
	if unmounted := mount.UnmountAll(target, 0); unmounted != nil {
		return unmounted
	}
	return err
}

// layer is unpacked, committed, looked at and removed.
func (s *soak) layer(client snapshots.Snapshotter) error {
	s.counted.layers.Add(1)
	ctx := context.Background()
	key := s.key("extract-layer")
	name := s.key("layer")
	err := s.step(func() error {
		mounts, err := client.Prepare(ctx, key, base)
		if err != nil {
			return err
		}
		return writeLayer(mounts, key)
	})
	if err == nil {
		err = s.step(func() error { return client.Commit(ctx, name, key) })
	}
	if err != nil {
		return s.remove(client, key, err)
	}
	s.counted.committed.Add(1)
	view := s.key("view")
	err = s.step(func() error {
		_, err := client.View(ctx, view, name)
		return err
	})
	if err := s.remove(client, view, err); err != nil {
		return err
	}
	return s.remove(client, name, nil)
}

// writeLayer writes as containerd's differ does, straight into the upper.
func writeLayer(mounts []mount.Mount, content string) error {
	for _, option := range mounts[0].Options {
		if upper, found := strings.CutPrefix(option, "upperdir="); found {
			for file := range 10 {
				if err := os.WriteFile(filepath.Join(upper, fmt.Sprint(file)), []byte(content), 0o644); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return fmt.Errorf("no upperdir in %v", mounts)
}

// givenUp is a Prepare whose client does not wait for the answer.
func (s *soak) givenUp(random *rand.Rand, client snapshots.Snapshotter) error {
	s.counted.givenUp.Add(1)
	key := s.key("given-up")
	err := s.step(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(random.IntN(2_000))*time.Microsecond)
		defer cancel()
		_, err := client.Prepare(ctx, key, base)
		if err != nil {
			// Whether the Prepare has begun nobody knows. What is asked on its key waits for it, and directories that it made while the
			// disk fails would make ext4 give up.
			time.Sleep(time.Duration(random.IntN(5_000)) * time.Microsecond)
			_ = client.Remove(context.Background(), key)
		}
		return err
	})
	return s.remove(client, key, err)
}

// remove removes a snapshot after something on it went well or failed in a way that a failing disk explains.
func (s *soak) remove(client snapshots.Snapshotter, key string, cause error) error {
	switch {
	case cause == nil:
	case errdefs.IsFailedPrecondition(cause) && strings.Contains(cause.Error(), "poisoned"):
		s.counted.poisoned.Add(1)
	case errdefs.IsUnavailable(cause), errdefs.IsDeadlineExceeded(cause), errdefs.IsCanceled(cause):
		s.counted.refused.Add(1)
	default:
		return fmt.Errorf("%s: %w", key, cause)
	}
	return poll.Until(waitBound, func() error {
		return s.step(func() error {
			err := client.Remove(context.Background(), key)
			if errdefs.IsNotFound(err) {
				return nil
			}
			return err
		})
	})
}

// loseWrites lets the disk lose what live containers have written, and waits until that is known and the disk is used again.
func (s *soak) loseWrites() {
	s.steps.Lock()
	defer s.steps.Unlock()
	client := s.client
	ctx := context.Background()
	victim := s.key("victim")
	mounts, err := client.Prepare(ctx, victim, base)
	if err != nil {
		s.t.Errorf("prepare a victim: %v", err)
		return
	}
	target, err := os.MkdirTemp(s.work, "victim-")
	if err != nil {
		s.t.Error(err)
		return
	}
	if err := mount.All(mounts, target); err != nil {
		s.t.Error(err)
		return
	}
	// Nothing is deleted any more either, and nothing is dirty but what is to be lost.
	if cleaner, ok := client.(snapshots.Cleaner); ok {
		if err := cleaner.Cleanup(ctx); err != nil {
			s.t.Errorf("clean up before the disk fails: %v", err)
		}
	}
	if err := s.disk.sync(); err != nil {
		s.t.Errorf("sync a healthy disk: %v", err)
	}
	if err := s.disk.run("fail"); err != nil {
		s.t.Error(err)
	}
	if err := s.disk.loseWrite(int(s.counted.episodes.Load())); err != nil {
		s.t.Error(err)
	}
	if err := s.disk.sync(); err == nil {
		s.t.Error("the disk was to fail, but all was written back")
	}
	err = poll.Until(waitBound, func() error {
		info, err := client.Stat(ctx, victim)
		if err == nil && info.Labels[poisoned] == "" {
			err = fmt.Errorf("%s is not poisoned", victim)
		}
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
	if err := s.disk.run("heal"); err != nil {
		s.t.Error(err)
	}
	if err := mount.UnmountAll(target, 0); err != nil {
		s.t.Error(err)
	}
	if err := os.Remove(target); err != nil {
		s.t.Error(err)
	}
	err = poll.Until(waitBound, func() error {
		fresh := s.key("after")
		if _, err := client.Prepare(ctx, fresh, base); err != nil {
			return err
		}
		return client.Remove(ctx, fresh)
	})
	if err != nil {
		s.t.Errorf("after the disk healed: %v", err)
	}
	err = poll.Until(waitBound, func() error { return client.Remove(ctx, victim) })
	if err != nil {
		s.t.Errorf("remove the victim: %v", err)
	}
	s.counted.episodes.Add(1)
}
