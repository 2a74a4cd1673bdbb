package image

import (
	"archive/tar"
	"encoding/json"
	"io"
	"maps"
	"slices"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// write writes the layout of an OCI image around the blobs, in a fixed order.
func (b Blobs) write(w io.Writer, index v1.Index) error {
	layout, err := json.Marshal(v1.ImageLayout{Version: v1.ImageLayoutVersion})
	if err != nil {
		return err
	}
	described, err := json.Marshal(index)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	if err := writeFile(archive, v1.ImageLayoutFile, layout); err != nil {
		return err
	}
	if err := writeFile(archive, v1.ImageIndexFile, described); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		path := v1.ImageBlobsDir + "/" + name.Algorithm().String() + "/" + name.Encoded()
		if err := writeFile(archive, path, b[name]); err != nil {
			return err
		}
	}
	return archive.Close()
}

func writeFile(archive *tar.Writer, name string, content []byte) error {
	header := &tar.Header{
		Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content)), ModTime: Modified, Format: tar.FormatPAX,
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := archive.Write(content)
	return err
}
