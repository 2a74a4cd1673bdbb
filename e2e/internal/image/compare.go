package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const permissionBits = 0o7777

// Compare compares a directory with the tree and returns one line for each difference. The named directories are not looked
// into, as a container's runtime mounts something else there.
func (t Tree) Compare(root string, except ...string) ([]string, error) {
	var differences []string
	seen := map[string]bool{}
	inodes := map[*Node]uint64{}
	// The root may be the symbolic link that /proc has for the root of a process.
	root += "/."
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || name == "." {
			return err
		}
		seen[name] = true
		if slices.Contains(except, name) {
			return fs.SkipDir
		}
		node, ok := t[name]
		if !ok {
			differences = append(differences, name+": must not be there")
			return nil
		}
		found, err := node.compare(path, inodes)
		for _, difference := range found {
			differences = append(differences, name+": "+difference)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("compare %s: %w", root, err)
	}
	for name := range t {
		excepted := slices.ContainsFunc(except, func(directory string) bool { return strings.HasPrefix(name, directory+"/") })
		if !seen[name] && !excepted {
			differences = append(differences, name+": is missing")
		}
	}
	slices.Sort(differences)
	return differences, nil
}

var typeBits = map[byte]uint32{
	tar.TypeReg: unix.S_IFREG, tar.TypeDir: unix.S_IFDIR, tar.TypeSymlink: unix.S_IFLNK, tar.TypeChar: unix.S_IFCHR,
	tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO,
}

func (n *Node) compare(path string, inodes map[*Node]uint64) ([]string, error) {
	var status unix.Stat_t
	if err := unix.Lstat(path, &status); err != nil {
		return nil, fmt.Errorf("lstat %s: %w", path, err)
	}
	var differences []string
	differ := func(what string, found, want any) {
		differences = append(differences, fmt.Sprintf("%s is %v, not %v", what, found, want))
	}
	if status.Mode&unix.S_IFMT != typeBits[n.Type] {
		differ("type", fmt.Sprintf("%#o", status.Mode&unix.S_IFMT), fmt.Sprintf("%#o", typeBits[n.Type]))
		return differences, nil
	}
	if mode := int64(status.Mode & permissionBits); mode != n.Mode {
		differ("mode", fmt.Sprintf("%#o", mode), fmt.Sprintf("%#o", n.Mode))
	}
	if int(status.Uid) != n.UID || int(status.Gid) != n.GID {
		differ("owner", fmt.Sprintf("%d:%d", status.Uid, status.Gid), fmt.Sprintf("%d:%d", n.UID, n.GID))
	}
	if n.Type != tar.TypeDir {
		if int(status.Nlink) != len(n.Names) {
			differ("link count", status.Nlink, len(n.Names))
		}
		if first, ok := inodes[n]; ok && first != status.Ino {
			differ("inode", status.Ino, first)
		}
		inodes[n] = status.Ino
	}
	if device := unix.Mkdev(uint32(n.Major), uint32(n.Minor)); isDevice(n.Type) && status.Rdev != device {
		differ("device", status.Rdev, device)
	}
	if n.Type == tar.TypeReg && status.Mtim.Sec != Modified.Unix() {
		differ("time of modification", status.Mtim.Sec, Modified.Unix())
	}
	content, err := n.compareContent(path)
	if err != nil {
		return nil, err
	}
	attributes, err := n.compareXattrs(path)
	return slices.Concat(differences, content, attributes), err
}

func isDevice(kind byte) bool {
	return kind == tar.TypeChar || kind == tar.TypeBlock
}

func (n *Node) compareContent(path string) ([]string, error) {
	switch n.Type {
	case tar.TypeReg:
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(content, n.Content) {
			return []string{fmt.Sprintf("content is %d bytes, sha256 %x, not %d bytes, sha256 %x",
				len(content), sha256.Sum256(content), len(n.Content), sha256.Sum256(n.Content))}, nil
		}
	case tar.TypeSymlink:
		target, err := os.Readlink(path)
		if err != nil {
			return nil, err
		}
		if target != n.Link {
			return []string{fmt.Sprintf("points to %q, not %q", target, n.Link)}, nil
		}
	}
	return nil, nil
}

func (n *Node) compareXattrs(path string) ([]string, error) {
	buffer := make([]byte, 64<<10)
	length, err := unix.Llistxattr(path, buffer)
	if err != nil {
		return nil, fmt.Errorf("llistxattr %s: %w", path, err)
	}
	var differences []string
	seen := map[string]bool{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buffer[:length]), "\x00"), "\x00") {
		// Security modules add labels of their own.
		if _, wanted := n.Xattrs[name]; !wanted && strings.HasPrefix(name, "user.") {
			differences = append(differences, "unexpected xattr "+name)
		}
		seen[name] = true
	}
	for name, want := range n.Xattrs {
		if !seen[name] {
			differences = append(differences, "no xattr "+name)
			continue
		}
		length, err := unix.Lgetxattr(path, name, buffer)
		if err != nil {
			return nil, fmt.Errorf("lgetxattr %s %s: %w", path, name, err)
		}
		if value := string(buffer[:length]); value != want {
			differences = append(differences, fmt.Sprintf("xattr %s is %q, not %q", name, value, want))
		}
	}
	return differences, nil
}
