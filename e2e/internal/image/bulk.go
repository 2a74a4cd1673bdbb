package image

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
)

// Bulk is an image of many ordinary files, as a language's run-time or a distribution is. The same values give the same bytes.
type Bulk struct {
	Bytes  int64
	Files  int
	Layers int
	Seed   uint64
}

const (
	filesPerDirectory = 100
	// One file in this many is larger, as libraries are among scripts; together they have half of the bytes.
	filesPerLargeOne = 50
	bulkBlockBytes   = 64 << 10
)

// WriteLayer writes the compressed archive of one layer, counted from zero. The uncompressed one goes to the second writer.
func (b Bulk) WriteLayer(layer int, compressed, uncompressed io.Writer) error {
	compressor, err := gzip.NewWriterLevel(compressed, gzip.BestSpeed)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(io.MultiWriter(compressor, uncompressed))
	random := rand.New(rand.NewPCG(b.Seed, uint64(layer)))
	root := fmt.Sprintf("layer-%02d", layer)
	if err := b.writeHeader(archive, root+"/", tar.TypeDir, 0o755, 0); err != nil {
		return err
	}
	blocks := bulkBlocks(random)
	files := b.Files / b.Layers
	for file := range files {
		directory := fmt.Sprintf("%s/directory-%03d", root, file/filesPerDirectory)
		if file%filesPerDirectory == 0 {
			if err := b.writeHeader(archive, directory+"/", tar.TypeDir, 0o755, 0); err != nil {
				return err
			}
		}
		size := b.fileBytes(random, file)
		if err := b.writeHeader(archive, fmt.Sprintf("%s/file-%05d", directory, file), tar.TypeReg, 0o644, size); err != nil {
			return err
		}
		for left := size; left > 0; left -= bulkBlockBytes {
			block := blocks[random.IntN(len(blocks))]
			if _, err := archive.Write(block[:min(left, bulkBlockBytes)]); err != nil {
				return err
			}
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return compressor.Close()
}

// fileBytes is between half and one and a half of the average of its kind.
func (b Bulk) fileBytes(random *rand.Rand, file int) int64 {
	average := b.Bytes / int64(b.Files) / 2
	if file%filesPerLargeOne == 0 {
		average *= filesPerLargeOne
	}
	return average/2 + random.Int64N(average+1)
}

func (b Bulk) writeHeader(archive *tar.Writer, name string, kind byte, mode, size int64) error {
	return archive.WriteHeader(&tar.Header{Name: name, Typeflag: kind, Mode: mode, Size: size, ModTime: Modified, Format: tar.FormatPAX})
}

// bulkBlocks are half noise and half text, so that they compress to about half, as programs do.
func bulkBlocks(random *rand.Rand) [][]byte {
	blocks := make([][]byte, 64)
	for n := range blocks {
		block := make([]byte, bulkBlockBytes)
		for i := 0; i < len(block); i += 16 {
			for j := range 8 {
				block[i+j] = byte(random.Uint32())
			}
			copy(block[i+8:], "text, it")
		}
		blocks[n] = block
	}
	return blocks
}
