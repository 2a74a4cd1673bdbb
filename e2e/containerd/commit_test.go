package containerd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/rootfs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/node"
)

// runningContainerIsCommitted does what "nerdctl commit" does without pausing the container.
func (f *fixture) runningContainerIsCommitted(t *testing.T) {
	const committed = "localhost/committed:1"
	f.run(t, container, "sh", "-c", "sleep 3600")
	f.execute(t, container, "sh", "-c", "echo written >/files/written; rm /files/large; mkdir -p /opaque/fresh")

	ctx, connection := f.Client(t)
	ctx, release, err := connection.WithLease(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := commit(ctx, connection, committed); err != nil {
		t.Fatal(err)
	}
	image, err := connection.GetImage(ctx, committed)
	if err != nil {
		t.Fatal(err)
	}
	if err := image.Unpack(ctx, node.Snapshotter); err != nil {
		t.Fatal(err)
	}
	if err := release(context.WithoutCancel(ctx)); err != nil {
		t.Fatal(err)
	}

	// Committing has not disturbed the container.
	if seen := f.execute(t, container, "cat", "/files/written"); seen != "written\n" {
		t.Errorf("the committed container reads %q", seen)
	}
	f.remove(t, container)

	f.runImage(t, committed, "second", "sh", "-c", "sleep 3600")
	check := "cat /files/written; test ! -e /files/large && test -d /opaque/fresh && test ! -e /opaque/old && echo as expected"
	if seen := f.execute(t, "second", "sh", "-c", check); seen != "written\nas expected\n" {
		t.Errorf("a container of the committed image sees %q", seen)
	}
	f.remove(t, "second")
}

// commit makes an image of the base image and what the container has changed.
func commit(ctx context.Context, connection *client.Client, name string) error {
	store := connection.ContentStore()
	layer, err := rootfs.CreateDiff(ctx, container, connection.SnapshotService(node.Snapshotter), connection.DiffService(),
		diff.WithMediaType(v1.MediaTypeImageLayer))
	if err != nil {
		return fmt.Errorf("diff of the running container: %w", err)
	}
	base, err := connection.GetImage(ctx, reference)
	if err != nil {
		return err
	}
	manifest, err := images.Manifest(ctx, store, base.Target(), base.Platform())
	if err != nil {
		return err
	}
	var config v1.Image
	blob, err := content.ReadBlob(ctx, store, manifest.Config)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(blob, &config); err != nil {
		return err
	}
	// The layer is not compressed, so that its digest is its diff id.
	config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.Digest)
	manifest.Layers = append(manifest.Layers, layer)
	manifest.Versioned = specs.Versioned{SchemaVersion: 2}
	if manifest.Config, err = writeJSON(ctx, store, v1.MediaTypeImageConfig, config, nil); err != nil {
		return err
	}
	labels := map[string]string{"containerd.io/gc.ref.content.config": manifest.Config.Digest.String()}
	for n, layer := range manifest.Layers {
		labels[fmt.Sprintf("containerd.io/gc.ref.content.l.%d", n)] = layer.Digest.String()
	}
	target, err := writeJSON(ctx, store, v1.MediaTypeImageManifest, manifest, labels)
	if err != nil {
		return err
	}
	_, err = connection.ImageService().Create(ctx, images.Image{Name: name, Target: target})
	return err
}

func writeJSON(ctx context.Context, store content.Store, mediaType string, value any, labels map[string]string) (v1.Descriptor, error) {
	blob, err := json.Marshal(value)
	if err != nil {
		return v1.Descriptor{}, err
	}
	descriptor := v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(blob), Size: int64(len(blob))}
	err = content.WriteBlob(ctx, store, descriptor.Digest.String(), bytes.NewReader(blob), descriptor, content.WithLabels(labels))
	return descriptor, err
}
