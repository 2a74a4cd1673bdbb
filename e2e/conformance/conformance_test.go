// Package conformance runs containerd's own snapshotter test suite against the daemon, over its socket.
package conformance

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/testsuite"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/daemon"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/disk"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/mounts"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/sandbox"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	sandbox.Main(m)
}

func TestSuite(t *testing.T) {
	for _, filesystem := range disk.Filesystems {
		t.Run(filesystem, func(t *testing.T) { runSuite(t, filesystem, "") })
	}
}

// The keys of the suite are those of containers. This setting gives them what an unpacked layer gets.
func TestSuiteOnDurableUppers(t *testing.T) {
	runSuite(t, "ext4", "version = 1\n[volatile]\ndefault = false\n")
}

// One daemon serves all cases of a file system. On a node, too, one daemon has many callers at once, and the cases use
// different keys: containerd runs them against one containerd itself. The suite deletes a case's directory when the case ends; the
// daemon's root is elsewhere, so that the suite never walks through a live mount.
func runSuite(t *testing.T, filesystem, configuration string) {
	backing := disk.Make(t, filesystem)
	root := filepath.Join(backing.Mountpoint, "root")
	server := daemon.Start(t, daemon.Options{
		Root:          root,
		State:         filepath.Join(backing.Mountpoint, "state"),
		Configuration: configuration,
		UnmountOnStop: true,
	})
	snapshotter := server.Snapshotter()
	t.Cleanup(func() { stopAndCheck(t, server, root) })

	work := filepath.Join(backing.Mountpoint, "work")
	if err := os.Mkdir(work, 0o711); err != nil {
		t.Fatal(err)
	}
	// The suite makes its directories there.
	t.Setenv("TMPDIR", work)
	// The suite clears the mask only until its cases begin to run in parallel. The daemon keeps the mask it was started with.
	mask := unix.Umask(0)
	t.Cleanup(func() { unix.Umask(mask) })

	// The name decides whether the suite expects a directory of a lower layer to be renamed, which overlayfs refuses.
	testsuite.SnapshotterSuite(t, "overlayfs",
		func(context.Context, string) (snapshots.Snapshotter, func() error, error) {
			return snapshotter, nil, nil
		})
}

func stopAndCheck(t *testing.T, server *daemon.Daemon, root string) {
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
	left, err := mounts.Below(root)
	if err != nil {
		t.Error(err)
	}
	if len(left) > 0 {
		t.Errorf("the stopped daemon left %d mounts: %v", len(left), mounts.Describe(left))
	}
}
