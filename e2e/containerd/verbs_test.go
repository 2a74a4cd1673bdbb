package containerd

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/node"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/poll"
)

// snapshotInfo is what "ctr snapshots info" prints.
type snapshotInfo struct {
	Kind   string
	Name   string
	Parent string
	Labels map[string]string
}

func (f *fixture) info(t *testing.T, key string) snapshotInfo {
	t.Helper()
	var info snapshotInfo
	output := f.Ctr(t, "snapshots", "info", key)
	if err := json.Unmarshal([]byte(output), &info); err != nil {
		t.Fatalf("info of %s: %v\n%s", key, err, output)
	}
	return info
}

func (f *fixture) snapshotVerbs(t *testing.T) {
	top := f.topLayer(t, reference)
	target := t.TempDir()

	f.Ctr(t, "snapshots", "prepare", "work", top)
	if info := f.info(t, "work"); info.Kind != "Active" || info.Parent != top || info.Name != "work" {
		t.Errorf("info of the prepared snapshot: %+v", info)
	}
	f.mountAsTold(t, f.Ctr(t, "snapshots", "mounts", target, "work"))
	if err := os.WriteFile(filepath.Join(target, "files", "plain"), []byte("committed\n"), 0o600); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(target, "files", "large")); err != nil {
		t.Error(err)
	}
	runMount(t, "umount", target)

	f.Ctr(t, "snapshots", "label", "work", "e2e.example/label=value")
	// containerd keeps labels of other domains to itself, so this one is what reaches the snapshotter.
	f.Ctr(t, "snapshots", "label", "work", "containerd.io/snapshot/e2e=value")
	if info := f.info(t, "work"); info.Labels["e2e.example/label"] != "value" || info.Labels["containerd.io/snapshot/e2e"] != "value" {
		t.Errorf("labels: %v", info.Labels)
	}
	if usage := f.Ctr(t, "snapshots", "usage", "work"); !strings.Contains(usage, "work") {
		t.Errorf("usage: %s", usage)
	}

	f.Ctr(t, "snapshots", "commit", "done", "work")
	if info := f.info(t, "done"); info.Kind != "Committed" || info.Parent != top {
		t.Errorf("info of the committed snapshot: %+v", info)
	}
	f.makeView(t, "look", "done")
	f.mountAsTold(t, f.Ctr(t, "snapshots", "mounts", target, "look"))
	if content, err := os.ReadFile(filepath.Join(target, "files", "plain")); err != nil || string(content) != "committed\n" {
		t.Errorf("the view of the commit has %q, %v", content, err)
	}
	if err := os.WriteFile(filepath.Join(target, "new"), nil, 0o600); err == nil {
		t.Error("a view can be written to")
	}
	runMount(t, "umount", target)

	if tree := f.Ctr(t, "snapshots", "tree"); !strings.Contains(tree, "look") {
		t.Errorf("tree: %s", tree)
	}
	if list := f.Ctr(t, "snapshots", "ls"); !strings.Contains(list, "done") || !strings.Contains(list, "View") {
		t.Errorf("list: %s", list)
	}
	checkDiff(t, f.Ctr(t, "snapshots", "diff", "--media-type", "application/vnd.oci.image.layer.v1.tar", "done"))

	if _, err := f.TryCtr("snapshots", "rm", "done"); err == nil {
		t.Error("a snapshot with a child can be removed")
	}
	f.Ctr(t, "snapshots", "rm", "look", "done")
	if _, err := f.TryCtr("snapshots", "info", "done"); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("info of a removed snapshot: %v", err)
	}
}

// makeView makes a view that garbage collection leaves alone. Unlike the other verbs, "view" does not see to that itself, so
// that a collection which is due anyway may come first.
func (f *fixture) makeView(t *testing.T, key, parent string) {
	t.Helper()
	err := poll.Until(waitBound, func() error {
		if _, err := f.TryCtr("snapshots", "view", key, parent); err != nil {
			return err
		}
		_, err := f.TryCtr("snapshots", "label", key, "containerd.io/gc.root=e2e")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// mountAsTold runs the mount command that "ctr snapshots mounts" prints, as its user would.
func (f *fixture) mountAsTold(t *testing.T, command string) {
	t.Helper()
	fields := strings.Fields(command)
	if len(fields) < 2 || fields[0] != "mount" || strings.Count(command, "mount -t") != 1 {
		t.Fatalf("not one mount command: %q", command)
	}
	runMount(t, fields[0], fields[1:]...)
}

func runMount(t *testing.T, program string, arguments ...string) {
	t.Helper()
	if output, err := exec.Command(program, arguments...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", program, arguments, err, output)
	}
}

func checkDiff(t *testing.T, archive string) {
	t.Helper()
	var names []string
	for reader := tar.NewReader(strings.NewReader(archive)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("diff is not an archive: %v", err)
		}
		if header.Typeflag != tar.TypeDir {
			names = append(names, header.Name)
		}
	}
	// The other name of the changed file is listed as a link to it or as unchanged, which depends on the release.
	joined := strings.Join(names, " ")
	if !strings.Contains(joined, "files/plain") || !strings.Contains(joined, "files/.wh.large") || strings.Contains(joined, "bin/") {
		t.Errorf("the diff in %s holds %s", node.Snapshotter, joined)
	}
}
