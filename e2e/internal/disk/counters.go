package disk

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	sectorBytes = 512
	// Fields of the kernel's Documentation/block/stat.rst, counted from zero.
	fieldWrites         = 4
	fieldSectorsWritten = 6
	fieldFlushes        = 15
)

// Counters are the kernel's counters of one block device.
type Counters struct {
	Writes       uint64 `json:"writes"`
	BytesWritten uint64 `json:"bytes_written"`
	Flushes      uint64 `json:"flushes"`
}

// Since returns what was added after an earlier reading.
func (c Counters) Since(earlier Counters) Counters {
	return Counters{
		Writes:       c.Writes - earlier.Writes,
		BytesWritten: c.BytesWritten - earlier.BytesWritten,
		Flushes:      c.Flushes - earlier.Flushes,
	}
}

// ReadCounters reads the counters of the device with these numbers.
func ReadCounters(major, minor uint32) (Counters, error) {
	path := fmt.Sprintf("/sys/dev/block/%d:%d/stat", major, minor)
	content, err := os.ReadFile(path)
	if err != nil {
		return Counters{}, fmt.Errorf("read device counters: %w", err)
	}
	fields := strings.Fields(string(content))
	if len(fields) <= fieldFlushes {
		return Counters{}, fmt.Errorf("%s: no flush counter (needs Linux 5.5 or later)", path)
	}
	values := make([]uint64, len(fields))
	for i, field := range fields {
		if values[i], err = strconv.ParseUint(field, 10, 64); err != nil {
			return Counters{}, fmt.Errorf("%s: field %d: %w", path, i+1, err)
		}
	}
	return Counters{
		Writes:       values[fieldWrites],
		BytesWritten: values[fieldSectorsWritten] * sectorBytes,
		Flushes:      values[fieldFlushes],
	}, nil
}

// ReadDeviceCounters reads the counters of the block device at a path.
func ReadDeviceCounters(device string) (Counters, error) {
	var status unix.Stat_t
	if err := unix.Stat(device, &status); err != nil {
		return Counters{}, fmt.Errorf("stat %s: %w", device, err)
	}
	return ReadCounters(unix.Major(status.Rdev), unix.Minor(status.Rdev))
}
