// Package containerd runs real containerds with the snapshotter as their proxy plugin.
package containerd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/daemon"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/disk"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/image"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/mounts"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/node"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/poll"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/relay"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/sandbox"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/tools"
)

const (
	reference = "localhost/e2e:1"
	waitBound = 30 * time.Second
)

func TestMain(m *testing.M) {
	sandbox.Main(m)
}

// fixture is a node with an image on it. The snapshotter is alone on its disk, so that what reaches the device is its doing.
type fixture struct {
	*node.Containerd
	disk   *disk.Disk
	daemon *daemon.Daemon
	relay  *relay.Relay
	image  *image.Image
}

func startNode(t *testing.T, release node.Release, filesystem string) *fixture {
	t.Helper()
	return startNodeWith(t, release, filesystem, daemon.Options{UnmountOnStop: true})
}

// startNodeWith starts a node whose snapshotter has options of its own, besides the directories and sockets that it gets here.
func startNodeWith(t *testing.T, release node.Release, filesystem string, options daemon.Options) *fixture {
	t.Helper()
	tools.Require(t, "runc", "busybox")
	f := &fixture{disk: disk.Make(t, filesystem)}
	// Cleanups run backwards: containerd ends, then the relay, then the snapshotter, then what that left mounted, then the disk.
	state := shortDirectory(t)
	f.Containerd = node.Prepare(t, release)
	options.Root = filepath.Join(f.disk.Mountpoint, "root")
	options.State = state
	options.ContainerdAddress = f.Address
	f.daemon = daemon.Start(t, options)
	relayed := filepath.Join(state, "relayed.sock")
	f.relay = relay.Start(t, relayed, f.daemon.Socket)
	f.Start(relayed, f.daemon.Root)

	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	made, err := image.New(reference, map[string]string{
		"busybox":    busybox,
		"fsync-load": filepath.Join(tools.Bin(t), "fsync-load"),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.image = made
	return f
}

// shortDirectory makes a directory for sockets, whose paths are limited to 107 bytes.
func shortDirectory(t *testing.T) string {
	t.Helper()
	directory, err := os.MkdirTemp("", "e2e-state-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// A snapshotter that stops without unmounting leaves its own mounts there as well.
		if err := mounts.UnmountAll(directory); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(directory); err != nil {
			t.Error(err)
		}
	})
	return directory
}

// importImage imports the image and unpacks it.
func (f *fixture) importImage(t *testing.T) {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "image.tar")
	file, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.image.Write(file); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	f.Ctr(t, "images", "import", "--snapshotter", node.Snapshotter, archive)
}

// run starts a container in the background.
func (f *fixture) run(t *testing.T, name string, command ...string) {
	t.Helper()
	f.runImage(t, reference, name, command...)
}

func (f *fixture) runImage(t *testing.T, reference, name string, command ...string) {
	t.Helper()
	arguments := []string{
		"run", "--detach", "--snapshotter", node.Snapshotter, "--runtime", node.Runtime, reference, name,
	}
	f.Ctr(t, append(arguments, command...)...)
}

// execute runs a command in a running container and returns what it wrote.
func (f *fixture) execute(t *testing.T, name string, command ...string) string {
	t.Helper()
	arguments := []string{"tasks", "exec", "--exec-id", fmt.Sprintf("exec-%d", time.Now().UnixNano()), name}
	return f.Ctr(t, append(arguments, command...)...)
}

// remove ends a container and deletes it with its snapshot.
func (f *fixture) remove(t *testing.T, name string) {
	t.Helper()
	f.Ctr(t, "tasks", "rm", "--force", name)
	f.Ctr(t, "containers", "rm", name)
}

// processID returns the process of a running container.
func (f *fixture) processID(t *testing.T, name string) uint32 {
	t.Helper()
	ctx, client := f.Client(t)
	container, err := client.LoadContainer(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	task, err := container.Task(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	return task.Pid()
}

// waitForEmptyRoot waits until the snapshotter has neither directories nor mounts left.
func (f *fixture) waitForEmptyRoot(t *testing.T) {
	t.Helper()
	err := poll.Until(waitBound, func() error {
		for _, name := range []string{"snapshots", "trash"} {
			entries, err := os.ReadDir(filepath.Join(f.daemon.Root, name))
			if err != nil && !os.IsNotExist(err) {
				return err
			}
			if len(entries) > 0 {
				return fmt.Errorf("%s holds %d entries, one is %s", name, len(entries), entries[0].Name())
			}
		}
		left, err := mounts.Below(f.daemon.Root)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return fmt.Errorf("mounts are left: %s", strings.Join(mounts.Describe(left), "; "))
		}
		return nil
	})
	if err != nil {
		t.Errorf("after everything was removed: %v", err)
	}
}
