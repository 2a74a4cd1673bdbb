package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"slices"
)

// applets are the names under which busybox is found in the image.
var applets = []string{
	"cat", "chmod", "chown", "dd", "echo", "env", "grep", "id", "ln", "ls", "mkdir", "mv", "rm", "sh", "sleep", "stat",
	"sync", "test", "touch", "true", "wc",
}

const (
	characterDevice = tar.TypeChar
	blockDevice     = tar.TypeBlock
)

// capNetRaw is a struct vfs_cap_data, revision 2, effective, with CAP_NET_RAW permitted.
var capNetRaw = string([]byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})

func directory(name string) Entry {
	return Entry{Name: name, Type: tar.TypeDir, Mode: 0o755}
}

func file(name, content string) Entry {
	return Entry{Name: name, Type: tar.TypeReg, Mode: 0o644, Content: []byte(content)}
}

func symlink(name, target string) Entry {
	return Entry{Name: name, Type: tar.TypeSymlink, Mode: 0o777, Link: target}
}

// hardLink names its target from the root of the image, as tar archives do.
func hardLink(name, target string) Entry {
	return Entry{Name: name, Type: tar.TypeLink, Mode: 0o644, Link: target}
}

func device(name string, kind byte, major, minor int64) Entry {
	return Entry{Name: name, Type: kind, Mode: 0o660, Major: major, Minor: minor}
}

func (e Entry) mode(mode int64) Entry {
	e.Mode = mode
	return e
}

func (e Entry) owner(uid, gid int) Entry {
	e.UID, e.GID = uid, gid
	return e
}

func (e Entry) xattr(name, value string) Entry {
	e.Xattrs = maps.Clone(e.Xattrs)
	if e.Xattrs == nil {
		e.Xattrs = map[string]string{}
	}
	e.Xattrs[name] = value
	return e
}

// layers is the content of the image. Each layer changes what the ones below it brought, in every way a layer can.
func layers(programs map[string][]byte) [][]Entry {
	return [][]Entry{base(programs), removals(), changes(), again()}
}

func base(programs map[string][]byte) []Entry {
	entries := []Entry{
		directory("bin"), directory("etc"), directory("dev"), directory("proc"), directory("sys"), directory("run"),
		directory("root").mode(0o700),
		directory("tmp").mode(0o1777),
		file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nbuilder:x:1234:5678:builder:/home:/bin/sh\n"),
		file("etc/group", "root:x:0:\nbuilder:x:5678:\n"),

		directory("files"),
		file("files/plain", "base\n"),
		file("files/empty", ""),
		file("files/changed", "from the base\n"),
		file("files/removed", "gone in the second layer\n"),
		file("files/large", string(bytes.Repeat([]byte("0123456789abcde\n"), 1<<16))),
		file("files/name with spaces and ümlauts", "unusual\n"),
		file("files/owned", "owned\n").mode(0o640).owner(1234, 5678),
		file("files/setuid", "setuid\n").mode(0o4755),
		file("files/setgid", "setgid\n").mode(0o2755).owner(0, 5678),
		file("files/unreadable", "nobody\n").mode(0o000),
		file("files/capable", "capable\n").mode(0o755).xattr("security.capability", capNetRaw),
		file("files/tagged", "tagged\n").xattr("user.e2e", "first").xattr("user.other", "kept"),
		directory("files/shared").mode(0o2770).owner(1234, 5678),

		// No layer may hide one of the names only: overlayfs would go on counting it as a link.
		directory("links"),
		file("links/original", "linked\n"),
		hardLink("links/second", "links/original"),
		hardLink("links/third", "links/original"),
		symlink("links/relative", "original"),
		symlink("links/absolute", "/files/plain"),
		symlink("links/dangling", "nowhere"),

		directory("nodes"),
		device("nodes/null", characterDevice, 1, 3).mode(0o666),
		device("nodes/loop", blockDevice, 7, 0),
		device("nodes/removed", characterDevice, 1, 5),
		Entry{Name: "nodes/pipe", Type: tar.TypeFifo, Mode: 0o600},

		directory("opaque"),
		file("opaque/old", "hidden by the second layer\n"),
		directory("opaque/deep"),
		file("opaque/deep/old", "hidden by the second layer\n"),
		directory("removed"),
		directory("removed/deep"),
		file("removed/deep/file", "gone in the second layer\n"),
		directory("becomes-file"),
		file("becomes-file/child", "gone in the third layer\n"),
		file("becomes-directory", "gone in the third layer\n"),
	}
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		entries = append(entries, Entry{Name: "bin/" + name, Type: tar.TypeReg, Mode: 0o755, Content: programs[name]})
	}
	for _, applet := range applets {
		entries = append(entries, symlink("bin/"+applet, busybox))
	}
	return entries
}

func removals() []Entry {
	return []Entry{
		directory("files"),
		file("files/.wh.removed", ""),
		file(".wh.removed", ""),
		directory("nodes"),
		file("nodes/.wh.removed", ""),
		directory("opaque").mode(0o750),
		file("opaque/.wh..wh..opq", ""),
		file("opaque/new", "from the second layer\n"),
		directory("opaque/deep"),
		file("opaque/deep/new", "from the second layer\n"),
	}
}

func changes() []Entry {
	entries := []Entry{
		directory("files"),
		file("files/changed", "from the third layer\n").owner(1234, 0),
		file("files/tagged", "tagged again\n").xattr("user.e2e", "second"),
		// A new link to a file of a lower layer: like containerd's own differ, the archive brings the file again.
		file("files/plain", "base\n"),
		directory("links"),
		hardLink("links/late", "files/plain"),
		file(".wh.becomes-file", ""),
		file("becomes-file", "once a directory\n"),
		file(".wh.becomes-directory", ""),
		directory("becomes-directory"),
		file("becomes-directory/child", "once a file\n"),
		directory("many"),
	}
	for i := range 200 {
		entries = append(entries, file(fmt.Sprintf("many/file-%03d", i), fmt.Sprintf("%d\n", i)))
	}
	return entries
}

func again() []Entry {
	return []Entry{
		directory("files"),
		file("files/removed", "back in the fourth layer\n"),
		directory("removed"),
		file("removed/new", "only this\n"),
		directory("opaque").mode(0o750),
		file("opaque/.wh.new", ""),
		directory("many").mode(0o700),
		file("many/.wh.file-000", ""),
	}
}
