// Package mounts looks at the mounts of this process.
package mounts

import (
	"fmt"
	"slices"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Below returns the mounts at and below a directory, in the order in which they were made.
func Below(directory string) ([]*mountinfo.Info, error) {
	found, err := mountinfo.GetMounts(mountinfo.PrefixFilter(directory))
	if err != nil {
		return nil, fmt.Errorf("read mounts below %s: %w", directory, err)
	}
	return found, nil
}

// Describe makes one line of each mount, for messages.
func Describe(found []*mountinfo.Info) []string {
	lines := make([]string, 0, len(found))
	for _, mount := range found {
		lines = append(lines, fmt.Sprintf("%s %s %s", mount.Mountpoint, mount.FSType, mount.VFSOptions))
	}
	return lines
}

// UnmountAll unmounts everything at and below a directory, the latest mount first.
func UnmountAll(directory string) error {
	found, err := Below(directory)
	if err != nil {
		return err
	}
	slices.Reverse(found)
	for _, mount := range found {
		if err := unix.Unmount(mount.Mountpoint, unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w", mount.Mountpoint, err)
		}
	}
	return nil
}
