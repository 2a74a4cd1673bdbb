package containerd

import (
	"testing"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/daemon"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/node"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/registry"
	"google.golang.org/protobuf/proto"
)

// containerd 2.3 unpacks the layers of a pulled image side by side: each is prepared without a parent, and gets its parent when
// it is committed. What a layer hides must then be stored although there is nothing yet that it could hide.
func TestPulledLayersAreUnpackedSideBySide(t *testing.T) {
	f := startNode(t, node.Newest(t), "ext4")
	pulled := registry.Start(t, f.image)
	f.Ctr(t, "images", "pull", "--plain-http", "--snapshotter", node.Snapshotter, pulled)

	rebased := 0
	for _, message := range f.relay.Requests("Commit") {
		var request snapshotsapi.CommitSnapshotRequest
		if err := proto.Unmarshal(message, &request); err != nil {
			t.Fatal(err)
		}
		if request.Parent != "" {
			rebased++
		}
	}
	if rebased == 0 {
		t.Errorf("containerd has rebased none of %d layers", len(f.relay.Requests("Commit")))
	}
	if daemon.IsStock() {
		t.Log("stock loses whiteouts here (containerd issue 13030)")
		return
	}
	f.viewShowsImage(t, pulled)
	f.runImage(t, pulled, container, "sh", "-c", "sleep 3600")
	f.remove(t, container)
	f.garbageCollectionLeavesNothing(t)
}
