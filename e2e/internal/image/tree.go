package image

import (
	"archive/tar"
	"path"
	"strings"
)

const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
)

// Tree is the root file system of an image: entries by path, without a leading slash. Hard links share one *Node.
type Tree map[string]*Node

// Node is one inode of a tree.
type Node struct {
	Entry
	// Names are all paths of this inode.
	Names []string
}

// tree applies layers one after the other, as the OCI image specification says, knowing nothing of overlayfs.
func tree(layers [][]Entry) Tree {
	t := Tree{}
	for _, layer := range layers {
		// Whiteouts hide what lower layers brought, never what their own layer brings.
		for _, entry := range layer {
			t.hide(entry.Name)
		}
		for _, entry := range layer {
			t.add(entry)
		}
	}
	for name, node := range t {
		node.Names = append(node.Names, name)
	}
	return t
}

func (t Tree) hide(whiteout string) {
	parent, base := path.Split(whiteout)
	switch {
	case base == opaqueMarker:
		t.removeBelow(parent)
	case strings.HasPrefix(base, whiteoutPrefix):
		hidden := parent + strings.TrimPrefix(base, whiteoutPrefix)
		delete(t, hidden)
		t.removeBelow(hidden + "/")
	}
}

func (t Tree) removeBelow(prefix string) {
	for name := range t {
		if strings.HasPrefix(name, prefix) {
			delete(t, name)
		}
	}
}

func (t Tree) add(entry Entry) {
	switch {
	case strings.HasPrefix(path.Base(entry.Name), whiteoutPrefix):
	case entry.Type == tar.TypeLink:
		t[entry.Name] = t[entry.Link]
	default:
		if entry.Type != tar.TypeDir {
			t.removeBelow(entry.Name + "/")
		}
		t[entry.Name] = &Node{Entry: entry}
	}
}
