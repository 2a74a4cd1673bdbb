package image

import (
	"archive/tar"
	"fmt"
)

// Stacked makes an image of many small layers that hide, replace and bring back what is below them, near and far. Its base
// carries whiteouts, one layer is empty, and one is there twice. It has no programs.
func Stacked(reference string) *Image {
	second := stackedRemovals()
	return &Image{reference: reference, layers: [][]Entry{
		stackedBase(), second, stackedReturns(), stackedReplacements(), nil, second, stackedTop(),
	}}
}

// StackedWithIdleWhiteouts is the same image with one more layer: its whiteouts are in directories that no layer below has, or
// that hide them already. There is nothing that they could hide, and overlayfs lists such a whiteout.
func StackedWithIdleWhiteouts(reference string) *Image {
	made := Stacked(reference)
	made.layers = append(made.layers, []Entry{
		directory("idle"),
		file("idle/.wh.nothing", ""),
		directory("idle/deep"),
		file("idle/deep/.wh.nothing", ""),
		file("idle/deep/file", "beside a whiteout\n"),
		directory("far").mode(0o711),
		file("far/.wh..wh..opq", ""),
		file("far/.wh.kept", ""),
		file("far/own", "in an opaque directory\n"),
	})
	return made
}

func stackedBase() []Entry {
	entries := []Entry{
		// A base has nothing to hide, and squashed images carry them all the same.
		file(".wh.never-there", ""),
		directory("etc"),
		file("etc/.wh.never-there", ""),
		file("etc/config", "first\n").owner(12, 34),
		directory("opaque-from-the-start"),
		file("opaque-from-the-start/.wh..wh..opq", ""),
		file("opaque-from-the-start/file", "stays\n"),

		directory("near"),
		file("near/removed", "gone in the next layer\n"),
		file("near/returns", "first life\n"),
		file("near/kept", "kept\n").xattr("user.stacked", "base"),
		directory("near/tree"),
		directory("near/tree/deep"),
		file("near/tree/deep/file", "gone with its directory\n"),
		directory("far").mode(0o700),
		file("far/removed", "gone in the last layer\n"),
		file("far/kept", "kept\n"),
		directory("far/tree"),
		file("far/tree/file", "gone in the last layer\n"),

		directory("opaque"),
		file("opaque/old", "hidden\n"),
		directory("opaque/deep"),
		file("opaque/deep/old", "hidden\n"),

		directory("kinds"),
		file("kinds/file-to-directory", "a file\n"),
		directory("kinds/directory-to-file"),
		file("kinds/directory-to-file/child", "gone\n"),
		symlink("kinds/link-to-file", "../near/kept"),
		directory("kinds/directory-to-link"),
		file("kinds/directory-to-link/child", "gone\n"),
		device("kinds/device-to-file", characterDevice, 1, 3),
		Entry{Name: "kinds/pipe", Type: tar.TypeFifo, Mode: 0o622},

		directory("links"),
		file("links/first", "linked\n").mode(0o600),
		hardLink("links/second", "links/first").mode(0o600),
		directory("links/below"),
		hardLink("links/below/third", "links/first").mode(0o600),
		file("links/gone", "all names go\n"),
		hardLink("links/gone-too", "links/gone"),

		directory("many"),
	}
	for i := range 300 {
		entries = append(entries, file(fmt.Sprintf("many/%03d", i), fmt.Sprintf("base %d\n", i)))
	}
	return entries
}

func stackedRemovals() []Entry {
	entries := []Entry{
		directory("near").mode(0o711).xattr("user.directory", "of the second layer"),
		file("near/.wh.removed", ""),
		file("near/.wh.returns", ""),
		file("near/.wh.tree", ""),
		directory("opaque"),
		file("opaque/.wh..wh..opq", ""),
		file("opaque/new", "second\n"),
		directory("links"),
		file("links/.wh.gone", ""),
		file("links/.wh.gone-too", ""),
		directory("many"),
	}
	for i := 0; i < 300; i += 3 {
		entries = append(entries, file(fmt.Sprintf("many/.wh.%03d", i), ""))
	}
	return entries
}

func stackedReturns() []Entry {
	return []Entry{
		directory("near").mode(0o711),
		file("near/returns", "second life\n").xattr("user.stacked", "third"),
		directory("near/tree"),
		file("near/tree/file", "only this\n"),
		directory("opaque"),
		file("opaque/.wh.new", ""),
		file("opaque/newer", "third\n"),
		directory("links"),
		file("links/gone", "a new life\n"),
		hardLink("links/gone-too", "links/gone"),
		directory("many"),
		file("many/000", "third\n"),
	}
}

func stackedReplacements() []Entry {
	return []Entry{
		directory("kinds"),
		directory("kinds/file-to-directory"),
		file("kinds/file-to-directory/child", "fourth\n"),
		file("kinds/directory-to-file", "fourth\n"),
		file("kinds/link-to-file", "fourth\n").mode(0o4755),
		symlink("kinds/directory-to-link", "../near"),
		file("kinds/device-to-file", "fourth\n"),
		directory("etc").mode(0o751).owner(0, 34),
		file("etc/config", "fourth\n").xattr("user.stacked", "fourth"),
	}
}

func stackedTop() []Entry {
	return []Entry{
		directory("far").mode(0o711),
		file("far/.wh.removed", ""),
		file("far/.wh.tree", ""),
		directory("near").mode(0o755),
		file("near/returns", "third life\n"),
	}
}
