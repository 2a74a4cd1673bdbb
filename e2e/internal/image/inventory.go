package image

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Inventory says of everything below a directory what it is: one line for each path, with type, mode, owner, device, time of
// modification, extended attributes, content, and the first of its names. Overlayfs' own attributes are left out.
func Inventory(root string) (map[string]string, error) {
	lines := map[string]string{}
	firstNames := map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		var status unix.Stat_t
		if err := unix.Lstat(path, &status); err != nil {
			return fmt.Errorf("lstat %s: %w", path, err)
		}
		line := fmt.Sprintf("mode %#o owner %d:%d", status.Mode, status.Uid, status.Gid)
		if status.Mode&unix.S_IFMT != unix.S_IFDIR {
			if _, known := firstNames[status.Ino]; !known {
				firstNames[status.Ino] = name
			}
			line += fmt.Sprintf(" links %d first %s device %#x", status.Nlink, firstNames[status.Ino], status.Rdev)
		}
		// The root has no entry in any layer.
		if name != "." {
			line += fmt.Sprintf(" modified %d.%09d", status.Mtim.Sec, status.Mtim.Nsec)
		}
		content, err := contentOf(path, status.Mode)
		if err != nil {
			return err
		}
		attributes, err := attributesOf(path)
		lines[name] = line + content + attributes
		return err
	})
	return lines, err
}

func contentOf(path string, mode uint32) (string, error) {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		content, err := os.ReadFile(path)
		return fmt.Sprintf(" size %d sha256 %x", len(content), sha256.Sum256(content)), err
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		return fmt.Sprintf(" to %q", target), err
	default:
		return "", nil
	}
}

func attributesOf(path string) (string, error) {
	buffer := make([]byte, 64<<10)
	length, err := unix.Llistxattr(path, buffer)
	if err != nil {
		return "", fmt.Errorf("llistxattr %s: %w", path, err)
	}
	var attributes []string
	for name := range strings.SplitSeq(string(buffer[:length]), "\x00") {
		if name == "" || strings.HasPrefix(name, "trusted.overlay.") {
			continue
		}
		value := make([]byte, 64<<10)
		length, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return "", fmt.Errorf("lgetxattr %s %s: %w", path, name, err)
		}
		attributes = append(attributes, fmt.Sprintf(" xattr %s=%q", name, value[:length]))
	}
	slices.Sort(attributes)
	return strings.Join(attributes, ""), nil
}

// Differences are the lines in which two inventories differ.
func Differences(found, want map[string]string) []string {
	var differences []string
	for name, line := range found {
		if line != want[name] {
			differences = append(differences, fmt.Sprintf("%s: %q, not %q", name, line, want[name]))
		}
	}
	for name, line := range want {
		if _, there := found[name]; !there {
			differences = append(differences, fmt.Sprintf("%s: is missing: %q", name, line))
		}
	}
	slices.Sort(differences)
	return differences
}
