package containerd

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/daemon"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/node"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/poll"
)

const (
	poisonedLabel = "containerd.io/snapshot/volatile.poisoned"
	exitKilled    = 128 + 9
)

func TestDamagedUpperIsThrownAway(t *testing.T) {
	if daemon.IsStock() {
		t.Skip("the stock snapshotter sees no errors; nothing can be shown with it")
	}
	for _, release := range node.Releases(t) {
		for _, filesystem := range []string{"ext4", "xfs"} {
			t.Run(release.Name+"/"+filesystem, func(t *testing.T) { damagedUpperIsThrownAway(t, release, filesystem) })
		}
	}
}

func damagedUpperIsThrownAway(t *testing.T, release node.Release, filesystem string) {
	f := startNode(t, release, filesystem)
	f.importImage(t)
	f.run(t, container, "sh", "-c", "sleep 3600")
	// Layers are durable before the disk fails; only the upper is at stake.
	if err := f.disk.Sync(); err != nil {
		t.Fatal(err)
	}
	ctx, connection := f.Client(t)
	exited := f.exitStatus(t, container)

	if err := f.disk.Fail(); err != nil {
		t.Fatal(err)
	}
	// The container is not told: its writes and its fsync succeed.
	f.execute(t, container, "dd", "if=/dev/zero", "of=/data", "bs=1M", "count=64", "conv=fsync")
	if err := f.disk.Sync(); err == nil {
		t.Fatal("the disk was to fail, but all was written back")
	}

	f.waitForPoison(t, container)
	select {
	case status := <-exited:
		if code, _, err := status.Result(); err != nil || code != exitKilled {
			t.Errorf("the container ended with %d, %v; want %d", code, err, exitKilled)
		}
	case <-ctx.Done():
		t.Fatal("the container was not killed")
	}
	if _, err := f.TryCtr("snapshots", "mounts", t.TempDir(), container); err == nil || !strings.Contains(err.Error(), "poisoned") {
		t.Errorf("mounts of a poisoned snapshot: %v", err)
	}
	f.remove(t, container)

	if err := f.disk.Heal(); err != nil {
		t.Fatal(err)
	}
	f.startFresh(t, "second")
	if seen := f.execute(t, "second", "sh", "-c", "test ! -e /data && fsync-load --count 10"); strings.TrimSpace(seen) != "fsyncs=10" {
		t.Errorf("the fresh container says %q", seen)
	}
	if labels := f.info(t, "second").Labels; labels[poisonedLabel] != "" {
		t.Errorf("the fresh snapshot is poisoned: %v", labels)
	}
	f.remove(t, "second")
	if _, err := connection.ContainerService().Get(ctx, container); err == nil {
		t.Error("the first container is still there")
	}
	f.garbageCollectionLeavesNothing(t)
}

// exitStatus begins to wait for the end of a container.
func (f *fixture) exitStatus(t *testing.T, name string) <-chan client.ExitStatus {
	t.Helper()
	ctx, connection := f.Client(t)
	loaded, err := connection.LoadContainer(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	task, err := loaded.Task(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	exited, err := task.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return exited
}

func (f *fixture) waitForPoison(t *testing.T, key string) {
	t.Helper()
	err := poll.Until(waitBound, func() error {
		labels := f.info(t, key).Labels
		if labels[poisonedLabel] == "" {
			return fmt.Errorf("%s is not poisoned; its labels are %v", key, labels)
		}
		t.Logf("poisoned: %s", labels[poisonedLabel])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// startFresh starts a container on the disk that has recovered. The snapshotter may need a moment to believe it.
func (f *fixture) startFresh(t *testing.T, name string) {
	t.Helper()
	err := poll.Until(waitBound, func() error {
		_, failed := f.TryCtr("run", "--detach", "--snapshotter", node.Snapshotter, "--runtime", node.Runtime,
			reference, name, "sh", "-c", "sleep 3600")
		if failed == nil {
			return nil
		}
		// A container that was made but not started would be in the way of the next try.
		if _, err := f.TryCtr("containers", "rm", name); err != nil && !strings.Contains(err.Error(), "not found") {
			return errors.Join(failed, err)
		}
		return failed
	})
	if err != nil {
		t.Fatal(err)
	}
}
