package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/diff/apply"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/rootfs"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/disk"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/image"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/relay"
)

// puller unpacks one image through a containerd again and again.
type puller struct {
	client *client.Client
	disk   sharedDisk
	work   string
	layers []rootfs.Layer
	// Bytes per second that are unpacked; 0 for as fast as it goes.
	rate       int64
	containers int
}

// contender is one way to unpack.
type contender struct {
	name        string
	snapshotter string
	relay       *relay.Relay
	// Containerd's option to sync the file system after each layer.
	sync bool
}

// writeImage brings the layers into containerd's content store. They stay as long as the lease of the context.
func (p *puller) writeImage(ctx context.Context, bulk image.Bulk) error {
	for layer := range bulk.Layers {
		reference := fmt.Sprintf("bench-pull-%d-%d", os.Getpid(), layer)
		writer, err := content.OpenWriter(ctx, p.client.ContentStore(), content.WithRef(reference))
		if err != nil {
			return err
		}
		uncompressed := digest.Canonical.Digester()
		count := &byteCount{}
		// A compressor writes some hundred bytes at a time, and here each write is a call of containerd's.
		buffered := bufio.NewWriterSize(writer, 1<<20)
		err = bulk.WriteLayer(layer, buffered, io.MultiWriter(uncompressed.Hash(), count))
		if err := errors.Join(err, buffered.Flush()); err != nil {
			return errors.Join(err, writer.Close())
		}
		status, err := writer.Status()
		if err != nil {
			return errors.Join(err, writer.Close())
		}
		if err := errors.Join(writer.Commit(ctx, status.Offset, ""), writer.Close()); err != nil {
			return fmt.Errorf("layer %d: %w", layer, err)
		}
		p.layers = append(p.layers, rootfs.Layer{
			Diff: v1.Descriptor{MediaType: v1.MediaTypeImageLayer, Digest: uncompressed.Digest(), Size: count.bytes},
			Blob: v1.Descriptor{MediaType: v1.MediaTypeImageLayerGzip, Digest: writer.Digest(), Size: status.Offset},
		})
	}
	return nil
}

type byteCount struct{ bytes int64 }

func (c *byteCount) Write(content []byte) (int, error) {
	c.bytes += int64(len(content))
	return len(content), nil
}

func (p *puller) imageBytes() (uncompressed, compressed int64) {
	for _, layer := range p.layers {
		uncompressed += layer.Diff.Size
		compressed += layer.Blob.Size
	}
	return uncompressed, compressed
}

// turn unpacks the image once and removes it again, with containers beside it that have written and not synced.
func (p *puller) turn(ctx context.Context, c *contender, dirty int64) (result pullResult, err error) {
	lease, err := p.client.LeasesService().Create(ctx, leases.WithRandomID(), leases.WithExpiration(time.Hour))
	if err != nil {
		return pullResult{}, err
	}
	removal := context.WithoutCancel(ctx)
	defer func() {
		// With the lease goes what was made under it, in a garbage collection that this waits for.
		err = errors.Join(err, p.client.LeasesService().Delete(removal, lease, leases.SynchronousDelete), p.disk.sync())
	}()
	ctx = leases.WithLease(ctx, lease.ID)
	if err := p.disk.sync(); err != nil {
		return pullResult{}, err
	}
	if dirty > 0 {
		uppers, err := p.dirtyUppers(ctx, c, dirty)
		defer func() { err = errors.Join(err, unmountAll(uppers)) }()
		if err != nil {
			return pullResult{}, err
		}
	}
	before, err := p.figures()
	if err != nil {
		return pullResult{}, err
	}
	known := len(c.relay.Events())
	begun := time.Now()
	if err := p.unpack(ctx, c); err != nil {
		return pullResult{}, fmt.Errorf("%s: %w", c.name, err)
	}
	taken := time.Since(begun)
	after, err := p.figures()
	if err != nil {
		return pullResult{}, err
	}
	result = pullResult{
		Kind: "pull", Contender: c.name, Dirty: dirty > 0, Seconds: round(taken.Seconds()),
		DirtyMebibytesBefore: before.dirtyMebibytes, DirtyMebibytesAfter: after.dirtyMebibytes,
		WrittenMebibytes: round(float64(after.device.Since(before.device).BytesWritten) / (1 << 20)),
		Flushes:          after.device.Since(before.device).Flushes,
	}
	for _, event := range c.relay.Events()[known:] {
		if event.Method == "Commit" {
			result.Commits++
			took := milliseconds(event.Ended.Sub(event.Begun))
			result.CommitsMilliseconds += took
			result.LongestCommitMilliseconds = max(result.LongestCommitMilliseconds, took)
		}
	}
	if result.Commits != len(p.layers) {
		return pullResult{}, fmt.Errorf("%s: %d commits for %d layers", c.name, result.Commits, len(p.layers))
	}
	return result, nil
}

func (p *puller) unpack(ctx context.Context, c *contender) error {
	snapshotter := p.client.SnapshotService(c.snapshotter)
	var applier diff.Applier = p.client.DiffService()
	if p.rate > 0 {
		// The same applier as in containerd, here, so that its reading can be slowed down.
		uncompressed, compressed := p.imageBytes()
		applier = apply.NewFileSystemApplier(slowProvider{p.client.ContentStore(), p.rate * compressed / uncompressed})
	}
	_, err := rootfs.ApplyLayersWithOpts(ctx, p.layers, snapshotter, applier, []diff.ApplyOpt{diff.WithSyncFs(c.sync)})
	return err
}

// dirtyUppers mounts containers' root file systems and writes to them.
func (p *puller) dirtyUppers(ctx context.Context, c *contender, dirty int64) (targets []string, err error) {
	snapshotter := p.client.SnapshotService(c.snapshotter)
	for n := range p.containers {
		mounts, err := snapshotter.Prepare(ctx, fmt.Sprintf("bench-container-%d-%d", time.Now().UnixNano(), n), "")
		if err != nil {
			return targets, err
		}
		target, err := os.MkdirTemp(p.work, "container-")
		if err != nil {
			return targets, err
		}
		if err := mount.All(mounts, target); err != nil {
			return targets, err
		}
		targets = append(targets, target)
		file, err := os.Create(filepath.Join(target, "data"))
		if err != nil {
			return targets, err
		}
		if err := errors.Join(writeZeros(file, dirty/int64(p.containers)), file.Close()); err != nil {
			return targets, err
		}
	}
	return targets, nil
}

func unmountAll(targets []string) error {
	var failures []error
	for _, target := range targets {
		failures = append(failures, mount.UnmountAll(target, 0), os.Remove(target))
	}
	return errors.Join(failures...)
}

type pullFigures struct {
	device         disk.Counters
	dirtyMebibytes float64
}

func (p *puller) figures() (pullFigures, error) {
	device, err := p.disk.counters()
	if err != nil {
		return pullFigures{}, err
	}
	information, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return pullFigures{}, err
	}
	for line := range strings.Lines(string(information)) {
		var kibibytes float64
		if n, _ := fmt.Sscanf(line, "Dirty: %f kB", &kibibytes); n == 1 {
			return pullFigures{device, round(kibibytes / 1024)}, nil
		}
	}
	return pullFigures{}, errors.New("no Dirty in /proc/meminfo")
}

// slowProvider gives content at a limited rate.
type slowProvider struct {
	content.Provider
	bytesPerSecond int64
}

func (s slowProvider) ReaderAt(ctx context.Context, described v1.Descriptor) (content.ReaderAt, error) {
	reader, err := s.Provider.ReaderAt(ctx, described)
	if err != nil {
		return nil, err
	}
	return &slowReader{ReaderAt: reader, bytesPerSecond: s.bytesPerSecond, begun: time.Now()}, nil
}

type slowReader struct {
	content.ReaderAt
	bytesPerSecond int64
	begun          time.Time
	read           int64
}

func (s *slowReader) ReadAt(buffer []byte, offset int64) (int, error) {
	// Small portions, so that writing is as even as reading.
	buffer = buffer[:min(len(buffer), 128<<10)]
	read, err := s.ReaderAt.ReadAt(buffer, offset)
	s.read += int64(read)
	due := time.Duration(float64(s.read) / float64(s.bytesPerSecond) * float64(time.Second))
	time.Sleep(due - time.Since(s.begun))
	return read, err
}
