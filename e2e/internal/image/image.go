// Package image makes an OCI image on the spot, without a network, and knows what its root file system must look like.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	_ "crypto/sha256" // for go-digest
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	busybox = "busybox"
	// annotationName is where containerd looks for the whole name of an image in an archive.
	annotationName = "io.containerd.image.name"
)

// Modified is the time that everything in the image carries.
var Modified = time.Unix(1_700_000_000, 0).UTC()

// Entry is one entry of a layer's archive.
type Entry struct {
	Name         string
	Type         byte
	Mode         int64
	UID, GID     int
	Content      []byte
	Link         string
	Major, Minor int64
	Xattrs       map[string]string
}

// Image is what goes into an archive.
type Image struct {
	reference string
	layers    [][]Entry
}

// New makes an image. The programs are files of the host by their name in the image's /bin; "busybox" must be among them.
func New(reference string, programs map[string]string) (*Image, error) {
	contents := map[string][]byte{}
	for name, source := range programs {
		content, err := readProgram(source)
		if err != nil {
			return nil, fmt.Errorf("program %s: %w", name, err)
		}
		contents[name] = content
	}
	if len(contents[busybox]) == 0 {
		return nil, fmt.Errorf("the image needs a program %s", busybox)
	}
	return &Image{reference: reference, layers: layers(contents)}, nil
}

// readProgram reads a program that runs without the libraries of the host.
func readProgram(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	parsed, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, segment := range parsed.Progs {
		if segment.Type == elf.PT_INTERP {
			return nil, fmt.Errorf("%s is not statically linked", path)
		}
	}
	return content, nil
}

// Tree is what a container of this image must see.
func (i *Image) Tree() Tree {
	return tree(i.layers)
}

// Layers is how many layers the image has.
func (i *Image) Layers() int {
	return len(i.layers)
}

// Write writes the image as an OCI archive. The same image gives the same bytes.
func (i *Image) Write(w io.Writer) error {
	manifest, blobs, err := i.Build()
	if err != nil {
		return err
	}
	manifest.Annotations = map[string]string{annotationName: i.reference, v1.AnnotationRefName: i.reference}
	return blobs.write(w, v1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageIndex,
		Manifests: []v1.Descriptor{manifest},
	})
}

// Build makes the image's blobs and says which of them is the manifest.
func (i *Image) Build() (v1.Descriptor, Blobs, error) {
	blobs := Blobs{}
	config := v1.Image{
		Created:  &Modified,
		Platform: v1.Platform{Architecture: runtime.GOARCH, OS: "linux"},
		Config:   v1.ImageConfig{Env: []string{"PATH=/bin"}, Cmd: []string{"/bin/sh"}, WorkingDir: "/"},
		RootFS:   v1.RootFS{Type: "layers"},
	}
	manifest := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest}
	for n, entries := range i.layers {
		archive, err := layerArchive(entries)
		if err != nil {
			return v1.Descriptor{}, nil, fmt.Errorf("layer %d: %w", n, err)
		}
		compressed, err := compress(archive)
		if err != nil {
			return v1.Descriptor{}, nil, fmt.Errorf("layer %d: %w", n, err)
		}
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(archive))
		manifest.Layers = append(manifest.Layers, blobs.add(v1.MediaTypeImageLayerGzip, compressed))
	}
	var err error
	if manifest.Config, err = blobs.addJSON(v1.MediaTypeImageConfig, config); err != nil {
		return v1.Descriptor{}, nil, err
	}
	described, err := blobs.addJSON(v1.MediaTypeImageManifest, manifest)
	described.Platform = &config.Platform
	return described, blobs, err
}

func layerArchive(entries []Entry) ([]byte, error) {
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	for _, entry := range entries {
		header := &tar.Header{
			Name:     entry.Name,
			Typeflag: entry.Type,
			Mode:     entry.Mode,
			Uid:      entry.UID,
			Gid:      entry.GID,
			Size:     int64(len(entry.Content)),
			Linkname: entry.Link,
			Devmajor: entry.Major,
			Devminor: entry.Minor,
			ModTime:  Modified,
			Format:   tar.FormatPAX,
		}
		if entry.Type == tar.TypeDir {
			header.Name += "/"
		}
		for name, value := range entry.Xattrs {
			if header.PAXRecords == nil {
				header.PAXRecords = map[string]string{}
			}
			header.PAXRecords["SCHILY.xattr."+name] = value
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name, err)
		}
		if _, err := archive.Write(entry.Content); err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

func compress(content []byte) ([]byte, error) {
	var buffer bytes.Buffer
	compressor := gzip.NewWriter(&buffer)
	if _, err := compressor.Write(content); err != nil {
		return nil, err
	}
	if err := compressor.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

// Blobs are the parts of an image by their digest.
type Blobs map[digest.Digest][]byte

func (b Blobs) add(mediaType string, content []byte) v1.Descriptor {
	name := digest.FromBytes(content)
	b[name] = content
	return v1.Descriptor{MediaType: mediaType, Digest: name, Size: int64(len(content))}
}

func (b Blobs) addJSON(mediaType string, value any) (v1.Descriptor, error) {
	content, err := json.Marshal(value)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return b.add(mediaType, content), nil
}
