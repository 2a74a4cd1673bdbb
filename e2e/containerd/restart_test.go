package containerd

import (
	"strings"
	"testing"

	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/daemon"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/node"
)

func TestContainersOutliveTheSnapshotter(t *testing.T) {
	ends := map[string]func(*testing.T, *daemon.Daemon){
		"stopped": func(t *testing.T, d *daemon.Daemon) {
			if err := d.Stop(); err != nil {
				t.Error(err)
			}
		},
		"killed": func(_ *testing.T, d *daemon.Daemon) { d.Kill() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) { containersOutlive(t, end) })
	}
}

func containersOutlive(t *testing.T, end func(*testing.T, *daemon.Daemon)) {
	f := startNodeWith(t, node.Newest(t), "ext4", daemon.Options{})
	f.importImage(t)
	f.run(t, container, "sh", "-c", "echo written >/files/written; sleep 3600")
	before := f.Ctr(t, "snapshots", "mounts", "/mnt", container)
	mounted := rootMount(t, f.execute(t, container, "cat", "/proc/self/mountinfo"))

	end(t, f.daemon)
	if seen := f.execute(t, container, "cat", "/files/written"); seen != "written\n" {
		t.Errorf("without the snapshotter, the container reads %q", seen)
	}
	f.daemon.Restart()

	if after := f.Ctr(t, "snapshots", "mounts", "/mnt", container); after != before {
		t.Errorf("the snapshot was mounted by %q and is now by %q", before, after)
	}
	if labels := f.info(t, container).Labels; labels[poisonedLabel] != "" {
		t.Errorf("the snapshot is poisoned: %v", labels)
	}
	if now := rootMount(t, f.execute(t, container, "cat", "/proc/self/mountinfo")); now != mounted {
		t.Errorf("the container's root was %q and is now %q", mounted, now)
	}
	if output := f.execute(t, container, "fsync-load", "--count", "10"); strings.TrimSpace(output) != "fsyncs=10" {
		t.Errorf("the load reported %q", output)
	}
	// A container that is ended and started again on its snapshot finds what it has written.
	f.Ctr(t, "tasks", "rm", "--force", container)
	f.Ctr(t, "tasks", "start", "--detach", container)
	if seen := f.execute(t, container, "cat", "/files/written"); seen != "written\n" {
		t.Errorf("the container that was started again reads %q", seen)
	}
	f.remove(t, container)
	f.garbageCollectionLeavesNothing(t)
}
