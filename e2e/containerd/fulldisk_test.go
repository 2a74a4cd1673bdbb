package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/daemon"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/disk"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/node"
	"golang.org/x/sys/unix"
)

const containerMebibytes = 8

// A view has no directory, so that its removal makes no room for its own record. containerd's collection has to go on to the snapshots
// that do.
func TestGarbageCollectionEmptiesAFullDisk(t *testing.T) {
	for _, filesystem := range disk.Filesystems {
		t.Run(filesystem, func(t *testing.T) { collectionEmpties(t, filesystem) })
	}
}

func collectionEmpties(t *testing.T, filesystem string) {
	f := startNodeWith(t, node.Newest(t), filesystem, daemon.Options{})
	f.importImage(t)
	ctx, client := f.Client(t)
	snapshotter := client.SnapshotService(node.Snapshotter)
	kept := snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "e2e"})
	layer := f.topLayer(t, reference)
	keys := []string{"a-view", "container-1", "container-2"}
	if _, err := snapshotter.View(ctx, keys[0], layer, kept); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys[1:] {
		mounts, err := snapshotter.Prepare(ctx, key, layer, kept)
		if err != nil {
			t.Fatal(err)
		}
		written := filepath.Join(mounts[0].Source, "written")
		if err := os.WriteFile(written, make([]byte, containerMebibytes<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	// Made while there is room for a file.
	filler, another := makeFiller(t, f.disk), makeFiller(t, f.disk)
	fill(t, filler)
	if err := f.daemon.Stop(); err != nil {
		t.Fatal(err)
	}
	// What the stop has freed of the records' log.
	fill(t, another)
	f.daemon.Restart()
	if _, err := snapshotter.Prepare(ctx, "no-room", layer, kept); !errdefs.IsUnavailable(err) {
		t.Errorf("a Prepare on the full disk is answered: %v", err)
	}

	for _, key := range keys {
		if err := snapshotter.Remove(ctx, key); err != nil {
			t.Errorf("remove %s: %v", key, err)
		}
	}
	if err := collect(ctx, client); err != nil {
		t.Error(err)
	}
	if err := f.leftOf(ctx, keys[1:]...); err != nil {
		t.Errorf("after a collection on the full disk: %v", err)
	}

	// containerd collects among a snapshotter's snapshots again once one more of them was removed.
	if _, err := snapshotter.Prepare(ctx, "room", layer, kept); err != nil {
		t.Errorf("after the collection: %v", err)
	}
	if err := snapshotter.Remove(ctx, "room"); err != nil {
		t.Error(err)
	}
	if err := errors.Join(collect(ctx, client), f.leftOf(ctx, keys...)); err != nil {
		t.Errorf("after the next collection: %v", err)
	}
	f.garbageCollectionLeavesNothing(t)
}

func makeFiller(t *testing.T, on *disk.Disk) *os.File {
	t.Helper()
	file, err := os.CreateTemp(on.Mountpoint, "filler-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(file.Close(), os.Remove(file.Name())); err != nil {
			t.Error(err)
		}
	})
	return file
}

// fill takes all blocks that are left, also those that are kept for root, without a write to the disk.
func fill(t *testing.T, file *os.File) {
	t.Helper()
	end := int64(0)
	for piece := int64(1 << 30); piece >= 4<<10; {
		switch err := unix.Fallocate(int(file.Fd()), 0, end, piece); err {
		case nil:
			end += piece
		case unix.ENOSPC:
			piece /= 2
		default:
			t.Fatalf("fallocate %s: %v", file.Name(), err)
		}
	}
}

// collect has containerd collect garbage, and waits for it.
func collect(ctx context.Context, client *client.Client) error {
	lease, err := client.LeasesService().Create(ctx, leases.WithRandomID())
	if err != nil {
		return err
	}
	return client.LeasesService().Delete(ctx, lease, leases.SynchronousDelete)
}

// leftOf tells which of the snapshots the snapshotter still has, whatever containerd knows.
func (f *fixture) leftOf(ctx context.Context, keys ...string) error {
	var left []error
	own := f.daemon.Snapshotter()
	err := own.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		for _, key := range keys {
			if filepath.Base(info.Name) == key {
				left = append(left, fmt.Errorf("%s is left", info.Name))
			}
		}
		return nil
	})
	return errors.Join(append(left, err)...)
}
