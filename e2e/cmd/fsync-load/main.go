// Command fsync-load appends to a file and calls fsync after each write. It runs inside containers.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	path := flag.String("file", "fsync-load.data", "file to append to")
	count := flag.Int("count", 200, "number of writes")
	size := flag.Int("bytes", 4096, "bytes of each write")
	flag.Parse()
	if err := load(*path, *count, *size); err != nil {
		fmt.Fprintln(os.Stderr, "fsync-load:", err)
		os.Exit(1)
	}
	fmt.Printf("fsyncs=%d\n", *count)
}

func load(path string, count, size int) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	block := make([]byte, size)
	for range count {
		if _, err := file.Write(block); err != nil {
			return err
		}
		if err := file.Sync(); err != nil {
			return err
		}
	}
	return nil
}
