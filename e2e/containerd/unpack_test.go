package containerd

import (
	"strings"
	"testing"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/daemon"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/image"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/node"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/registry"
	"google.golang.org/protobuf/proto"
)

// Whether the layers of an image are unpacked one after the other or side by side, and by whom, must not show.
func TestLayersAddUpToTheSameHoweverTheyAreUnpacked(t *testing.T) {
	for _, filesystem := range []string{"ext4", "xfs"} {
		t.Run(filesystem, func(t *testing.T) { layersAddUp(t, filesystem) })
	}
}

func layersAddUp(t *testing.T, filesystem string) {
	made := image.Stacked(reference)
	idle := image.StackedWithIdleWhiteouts(reference)
	inventories := map[string]map[string]string{}
	for name, unpacks := range map[string]int{"one after the other": 1, "side by side": 4} {
		t.Run(name, func(t *testing.T) {
			release := node.Newest(t)
			release.Unpacks = unpacks
			f := startNode(t, release, filesystem)
			pulled := registry.Start(t, made)
			f.Ctr(t, "images", "pull", "--plain-http", "--snapshotter", node.Snapshotter, pulled)
			f.unpacksWere(t, made.Layers(), unpacks)
			f.Ctr(t, "images", "pull", "--plain-http", "--snapshotter", node.StockSnapshotter, pulled)
			inventories[name+", stock"] = f.inventory(t, node.StockSnapshotter, pulled, nil)
			if daemon.IsStock() && unpacks > 1 {
				t.Log("stock behind a socket loses whiteouts here (containerd issue 13030)")
				return
			}
			inventories[name] = f.inventory(t, node.Snapshotter, pulled, made.Tree())

			// Stock lists whiteouts that hide nothing, as files that are not there.
			if !daemon.IsStock() {
				pulled = registry.Start(t, idle)
				f.Ctr(t, "images", "pull", "--plain-http", "--snapshotter", node.Snapshotter, pulled)
				f.inventory(t, node.Snapshotter, pulled, idle.Tree())
			}
		})
	}
	const wanted = "one after the other, stock"
	if len(inventories[wanted]) < 200 {
		t.Fatalf("%s shows %d entries only", wanted, len(inventories[wanted]))
	}
	for name, found := range inventories {
		for _, difference := range image.Differences(found, inventories[wanted]) {
			t.Errorf("%s: %s", name, difference)
		}
	}
}

// unpacksWere checks in which way containerd has unpacked the only image so far.
func (f *fixture) unpacksWere(t *testing.T, layers, unpacks int) {
	t.Helper()
	// All that is prepared and not committed yet; with a parent, and without.
	open, mostOpen, parentless, rebased, commits := 0, 0, 0, 0, 0
	for _, event := range f.relay.Events() {
		switch event.Method {
		case "Prepare":
			var request snapshotsapi.PrepareSnapshotRequest
			if err := proto.Unmarshal(event.Request, &request); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(request.Key, "/"+snapshots.UnpackKeyPrefix+"-") {
				continue
			}
			open++
			if request.Parent == "" {
				parentless++
			}
		case "Commit":
			var request snapshotsapi.CommitSnapshotRequest
			if err := proto.Unmarshal(event.Request, &request); err != nil {
				t.Fatal(err)
			}
			commits++
			open--
			if request.Parent != "" {
				rebased++
			}
		}
		mostOpen = max(mostOpen, open)
	}
	t.Logf("%d layers, %d at once: %d commits, %d of them with a parent; %d prepared without parent, %d of them at once",
		layers, unpacks, commits, rebased, parentless, mostOpen)
	wantParentless, wantRebased, wantOpen := 1, 0, 1
	if unpacks > 1 {
		wantParentless, wantRebased, wantOpen = layers, layers-1, unpacks
	}
	if commits != layers || rebased != wantRebased || parentless != wantParentless || mostOpen < wantOpen ||
		(unpacks == 1 && mostOpen > 1) {
		t.Errorf("want %d commits, %d with a parent, %d prepared without, %d at once", layers, wantRebased, wantParentless, wantOpen)
	}
}

// inventory looks at an image through a view, and compares it with the tree if there is one.
func (f *fixture) inventory(t *testing.T, snapshotterName, reference string, tree image.Tree) map[string]string {
	t.Helper()
	ctx, client := f.Client(t)
	snapshotter := client.SnapshotService(snapshotterName)
	kept := snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "e2e"})
	mounts, err := snapshotter.View(ctx, "inventory", f.topLayer(t, reference), kept)
	if err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	if err := mount.All(mounts, target); err != nil {
		t.Fatalf("mount %v: %v", mounts, err)
	}
	found, err := image.Inventory(target)
	if err == nil && tree != nil {
		var differences []string
		differences, err = tree.Compare(target)
		for _, difference := range differences {
			t.Errorf("%s, compared with the image: %s", snapshotterName, difference)
		}
	}
	if err := mount.UnmountAll(target, 0); err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Error(err)
	}
	if err := snapshotter.Remove(ctx, "inventory"); err != nil {
		t.Error(err)
	}
	return found
}
