package containerd

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/opencontainers/image-spec/identity"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/daemon"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/disk"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/node"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/relay"
	"google.golang.org/grpc/codes"
)

func TestEndToEnd(t *testing.T) {
	for _, release := range node.Releases(t) {
		for _, filesystem := range disk.Filesystems {
			t.Run(release.Name+"/"+filesystem, func(t *testing.T) { endToEnd(t, release, filesystem) })
		}
	}
}

func endToEnd(t *testing.T, release node.Release, filesystem string) {
	f := startNode(t, release, filesystem)
	steps := []struct {
		name string
		run  func(*testing.T)
	}{
		{"an image is imported and unpacked", f.importImage},
		{"a view shows what the layers add up to", func(t *testing.T) { f.viewShowsImage(t, reference) }},
		{"a container runs on a volatile overlay", f.containerRuns},
		{"two hundred fsyncs flush nothing", f.fsyncsFlushNothing},
		{"a container's whole life flushes nothing", f.lifeFlushesNothing},
		{"ctr snapshots has all its verbs", f.snapshotVerbs},
		{"a running container is committed to an image", f.runningContainerIsCommitted},
		{"containerd has called every method", f.everyMethodWasCalled},
		{"garbage collection leaves nothing", f.garbageCollectionLeavesNothing},
	}
	for _, step := range steps {
		if !t.Run(step.name, step.run) {
			t.Fatal("the steps that follow build on this one")
		}
	}
}

// topLayer is the name of the snapshot that holds all layers of an image.
func (f *fixture) topLayer(t *testing.T, reference string) string {
	t.Helper()
	ctx, client := f.Client(t)
	image, err := client.GetImage(ctx, reference)
	if err != nil {
		t.Fatal(err)
	}
	diffIDs, err := image.RootFS(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return identity.ChainID(diffIDs).String()
}

func (f *fixture) viewShowsImage(t *testing.T, reference string) {
	t.Helper()
	ctx, client := f.Client(t)
	snapshotter := client.SnapshotService(node.Snapshotter)
	// Without it, a collection that is still due after the import would take the view away.
	kept := snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "e2e"})
	mounts, err := snapshotter.View(ctx, "view", f.topLayer(t, reference), kept)
	if err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	if err := mount.All(mounts, target); err != nil {
		t.Fatalf("mount %v: %v", mounts, err)
	}
	differences, err := f.image.Tree().Compare(target)
	if err := mount.UnmountAll(target, 0); err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Error(err)
	}
	for _, difference := range differences {
		t.Error(difference)
	}
	if err := snapshotter.Remove(ctx, "view"); err != nil {
		t.Error(err)
	}
}

const container = "container"

func (f *fixture) containerRuns(t *testing.T) {
	f.run(t, container, "sh", "-c", "sleep 3600")
	if seen := f.execute(t, container, "cat", "/files/removed"); seen != "back in the fourth layer\n" {
		t.Errorf("the container reads %q", seen)
	}
	root := rootMount(t, f.execute(t, container, "cat", "/proc/self/mountinfo"))
	if !daemon.IsStock() && !isVolatileOverlay(root) {
		t.Errorf("the container's root is not a volatile overlay: %s", root)
	}
	t.Log(root)
	tree := fmt.Sprintf("/proc/%d/root", f.processID(t, container))
	differences, err := f.image.Tree().Compare(tree, "dev", "proc", "sys", "run")
	if err != nil {
		t.Fatal(err)
	}
	for _, difference := range differences {
		t.Error(difference)
	}
}

// rootMount finds the last mount on / in the text of a mountinfo.
func rootMount(t *testing.T, mountinfo string) string {
	t.Helper()
	root := ""
	for line := range strings.Lines(mountinfo) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == "/" {
			root = strings.TrimSpace(line)
		}
	}
	if root == "" {
		t.Fatalf("no mount on / in\n%s", mountinfo)
	}
	return root
}

func isVolatileOverlay(line string) bool {
	_, behind, _ := strings.Cut(line, " - ")
	fields := strings.Fields(behind)
	if len(fields) < 3 || fields[0] != "overlay" {
		return false
	}
	options := strings.Split(fields[2], ",")
	// The spelling depends on the kernel.
	return slices.Contains(options, "volatile") || slices.Contains(options, "fsync=volatile")
}

func (f *fixture) fsyncsFlushNothing(t *testing.T) {
	flushed := f.count(t, func() {
		if output := f.execute(t, container, "fsync-load", "--count", "200"); strings.TrimSpace(output) != "fsyncs=200" {
			t.Errorf("the load reported %q", output)
		}
	})
	t.Logf("200 fsyncs: %+v", flushed)
	if !daemon.IsStock() && flushed.Flushes > 0 {
		t.Errorf("200 fsyncs in a container caused %d flushes of the device", flushed.Flushes)
	}
	// The counter counts: the same snapshotter's disk, without it.
	f.remove(t, container)
	direct := f.count(t, func() { loadDirectly(t, f.disk.Mountpoint, 200) })
	if direct.Flushes < 200 {
		t.Errorf("200 fsyncs on the disk itself were counted as %d flushes", direct.Flushes)
	}
}

func (f *fixture) lifeFlushesNothing(t *testing.T) {
	life := f.count(t, func() {
		f.run(t, container, "sh", "-c", "fsync-load --count 100 --bytes 65536 && sleep 3600")
		f.execute(t, container, "sh", "-c", "until test $(stat -c %s /fsync-load.data) -eq 6553600; do :; done")
		f.remove(t, container)
	})
	t.Logf("a whole life: %+v", life)
	if !daemon.IsStock() && life.Flushes > 0 {
		t.Errorf("a container's whole life caused %d flushes of the device", life.Flushes)
	}
}

// count returns what reaches the disk while something is done.
func (f *fixture) count(t *testing.T, do func()) disk.Counters {
	t.Helper()
	// What was dirty before must not be counted.
	if err := f.disk.Sync(); err != nil {
		t.Fatal(err)
	}
	before, err := f.disk.Counters()
	if err != nil {
		t.Fatal(err)
	}
	do()
	after, err := f.disk.Counters()
	if err != nil {
		t.Fatal(err)
	}
	return after.Since(before)
}

func (f *fixture) everyMethodWasCalled(t *testing.T) {
	// Cleanup follows a collection that has removed something, in the background.
	f.waitForCall(t, "Cleanup")
	calls := f.relay.Calls()
	for _, method := range []string{
		"Prepare", "View", "Mounts", "Commit", "Remove", "Stat", "Update", "List", "Usage", "Cleanup",
	} {
		if calls[relay.Call{Method: method, Code: codes.OK}] == 0 {
			t.Errorf("containerd had no successful %s", method)
		}
	}
	for call, times := range calls {
		t.Logf("%s %s: %d", call.Method, call.Code, times)
		if call.Code == codes.Unknown || call.Code == codes.Internal {
			t.Errorf("%s answered %s", call.Method, call.Code)
		}
	}
}

func (f *fixture) garbageCollectionLeavesNothing(t *testing.T) {
	images := strings.Fields(f.Ctr(t, "images", "ls", "--quiet"))
	f.Ctr(t, append([]string{"images", "rm", "--sync"}, images...)...)
	f.waitForEmptyRoot(t)
	listed := strings.Split(strings.TrimSpace(f.Ctr(t, "snapshots", "ls")), "\n")
	if len(listed) > 1 {
		t.Errorf("snapshots are left: %q", listed[1:])
	}
}
