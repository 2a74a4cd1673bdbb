// Package disk makes block devices that can be made to fail.
//
// A disk is a loop device over a sparse file on a small tmpfs of its own. When that tmpfs is full, writes to blocks which
// the file does not have yet fail in the device, which is what a thin-provisioned disk does when its pool is full.
package disk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/mounts"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/poll"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/tools"
	"golang.org/x/sys/unix"
)

const (
	// Apparent size of the device: more than xfs asks for.
	deviceBytes = 2 << 30
	// The most memory that a disk can take.
	capacityBytes = 1 << 30
	waitBound     = 20 * time.Second
)

// Filesystems are those that the snapshotter is tested on.
var Filesystems = []string{"ext4", "xfs", "btrfs"}

// mountOptions keep out of what a test counts: the periodic commits of the journal, which flush, and the inode tables that ext4
// writes in the background after the first mount.
var mountOptions = map[string]string{"ext4": "commit=300,noinit_itable", "btrfs": "commit=300"}

// Disk is a mounted file system on a loop device.
type Disk struct {
	// Mountpoint is where its file system is mounted.
	Mountpoint string
	// Device is the path of its loop device.
	Device string

	t               testing.TB
	directory       string
	number          uint64
	requestLimit    string
	usualRequestKiB []byte
}

// Make makes a disk with a file system, mounts it and cleans everything up when the test ends.
func Make(t testing.TB, filesystem string) *Disk {
	t.Helper()
	tools.Require(t, "losetup", "mkfs."+filesystem)
	directory, err := os.MkdirTemp("", "e2e-disk-")
	if err != nil {
		t.Fatal(err)
	}
	d := &Disk{t: t, directory: directory, Mountpoint: filepath.Join(directory, "mountpoint")}
	t.Cleanup(func() {
		if err := os.RemoveAll(directory); err != nil {
			t.Error(err)
		}
	})
	for _, child := range []string{d.Mountpoint, d.backing()} {
		if err := os.Mkdir(child, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	d.makeDevice()
	tools.Run(t, "mkfs."+filesystem, "-q", d.Device)
	d.mount(filesystem)
	return d
}

func (d *Disk) backing() string {
	return filepath.Join(d.directory, "backing")
}

func (d *Disk) makeDevice() {
	d.t.Helper()
	if err := unix.Mount("tmpfs", d.backing(), "tmpfs", 0, fmt.Sprintf("mode=700,size=%d", capacityBytes)); err != nil {
		d.t.Fatalf("mount tmpfs: %v", err)
	}
	d.t.Cleanup(func() {
		if err := unix.Unmount(d.backing(), 0); err != nil {
			d.t.Errorf("unmount %s: %v", d.backing(), err)
		}
	})
	file := filepath.Join(d.backing(), "disk.img")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Truncate(file, deviceBytes); err != nil {
		d.t.Fatal(err)
	}
	d.Device = tools.Run(d.t, "losetup", "--find", "--show", file)
	d.t.Cleanup(d.detach)

	// An open device with "autoclear" lives exactly as long as this process or a mount uses it.
	held, err := os.Open(d.Device)
	if err != nil {
		d.t.Fatal(err)
	}
	tools.Run(d.t, "losetup", "--detach", d.Device)
	d.t.Cleanup(func() { _ = held.Close() })
	d.requestLimit = filepath.Join("/sys/block", filepath.Base(d.Device), "queue/max_sectors_kb")
	if d.usualRequestKiB, err = os.ReadFile(d.requestLimit); err != nil {
		d.t.Fatal(err)
	}
	// The limit would outlast the disk and slow down the next one on the same loop device.
	d.t.Cleanup(func() {
		if err := d.limitRequests(d.usualRequestKiB); err != nil {
			d.t.Error(err)
		}
	})

	var status unix.Stat_t
	if err := unix.Fstat(int(held.Fd()), &status); err != nil {
		d.t.Fatalf("stat %s: %v", d.Device, err)
	}
	d.number = status.Rdev
}

// detach waits until the loop device has let go of its file, so that the tmpfs can be unmounted.
func (d *Disk) detach() {
	file := filepath.Join(d.backing(), "disk.img")
	err := poll.Until(waitBound, func() error {
		output, err := exec.Command("losetup", "--noheadings", "--output", "NAME", "--associated", file).CombinedOutput()
		if err != nil {
			return fmt.Errorf("losetup: %w: %s", err, output)
		}
		if devices := strings.TrimSpace(string(output)); devices != "" {
			return fmt.Errorf("%s is still attached to %s", devices, file)
		}
		return nil
	})
	if err != nil {
		d.t.Error(err)
	}
}

func (d *Disk) mount(filesystem string) {
	d.t.Helper()
	if err := unix.Mount(d.Device, d.Mountpoint, filesystem, 0, mountOptions[filesystem]); err != nil {
		d.t.Fatalf("mount %s: %v", d.Device, err)
	}
	d.t.Cleanup(func() {
		// A process that was killed a moment ago may still be letting go of a file.
		err := poll.Until(waitBound, func() error { return mounts.UnmountAll(d.Mountpoint) })
		if err != nil {
			d.t.Error(err)
		}
	})
}

// Fail makes writes to blocks fail that were never written before, by leaving the tmpfs no free page.
//
// From then on a request is one page long. The loop driver calls a request done of which it could write a part (lo_complete_rq in
// drivers/block/loop.c), so that a larger one that begins in a page which the file has and goes on into pages which it cannot have
// would lose those without an error, and fsync would return 0.
func (d *Disk) Fail() error {
	if err := d.limitRequests(fmt.Appendf(nil, "%d", os.Getpagesize()>>10)); err != nil {
		return err
	}
	// Writes that are under way take pages between the look and the change, so that the new size may be too small.
	return poll.Until(waitBound, func() error {
		var status unix.Statfs_t
		if err := unix.Statfs(d.backing(), &status); err != nil {
			return fmt.Errorf("statfs %s: %w", d.backing(), err)
		}
		return d.resize((status.Blocks - status.Bfree) * uint64(status.Bsize))
	})
}

// Heal lets all writes succeed again.
func (d *Disk) Heal() error {
	if err := d.resize(capacityBytes); err != nil {
		return err
	}
	return d.limitRequests(d.usualRequestKiB)
}

func (d *Disk) limitRequests(kib []byte) error {
	return os.WriteFile(d.requestLimit, kib, 0)
}

func (d *Disk) resize(bytes uint64) error {
	if err := unix.Mount("tmpfs", d.backing(), "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", bytes)); err != nil {
		return fmt.Errorf("resize %s to %d bytes: %w", d.backing(), bytes, err)
	}
	return nil
}

// Counters says what has reached the disk so far.
func (d *Disk) Counters() (Counters, error) {
	return ReadCounters(unix.Major(d.number), unix.Minor(d.number))
}

// Sync writes everything back that is dirty on the disk, so that later writes can be told apart.
func (d *Disk) Sync() error {
	directory, err := os.Open(d.Mountpoint)
	if err != nil {
		return err
	}
	defer directory.Close()
	if err := unix.Syncfs(int(directory.Fd())); err != nil {
		return fmt.Errorf("syncfs %s: %w", d.Mountpoint, err)
	}
	return nil
}
