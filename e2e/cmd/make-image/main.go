// Command make-image writes an OCI image archive whose layers use everything that layers can hold.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/image"
)

func main() {
	reference := flag.String("reference", "localhost/e2e:1", "name of the image")
	busybox := flag.String("busybox", "/bin/busybox", "statically linked busybox")
	output := flag.String("output", "", "file to write (required)")
	programs := map[string]string{}
	flag.Func("program", "NAME=FILE: one more statically linked program for the image's /bin; may be repeated", func(value string) error {
		name, file, found := strings.Cut(value, "=")
		if !found || name == "" || strings.Contains(name, "/") {
			return fmt.Errorf("want NAME=FILE, got %q", value)
		}
		programs[name] = file
		return nil
	})
	flag.Parse()
	programs["busybox"] = *busybox
	if err := write(*output, *reference, programs); err != nil {
		fmt.Fprintln(os.Stderr, "make-image:", err)
		os.Exit(1)
	}
}

func write(output, reference string, programs map[string]string) error {
	if output == "" || flag.NArg() > 0 {
		return errors.New("--output is required, and only flags are taken")
	}
	made, err := image.New(reference, programs)
	if err != nil {
		return err
	}
	file, err := os.Create(output)
	if err != nil {
		return err
	}
	if err := made.Write(file); err != nil {
		file.Close()
		return fmt.Errorf("write %s: %w", output, err)
	}
	return file.Close()
}
