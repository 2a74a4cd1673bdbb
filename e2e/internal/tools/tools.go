// Package tools finds and builds the programs that the tests run.
package tools

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// packages names the Debian package of every program that the tests take from the system.
var packages = map[string]string{
	"/usr/bin/containerd":              "containerd",
	"/usr/bin/ctr":                     "containerd",
	"/usr/bin/containerd-shim-runc-v2": "containerd",
	"busybox":                          "busybox-static",
	"losetup":                          "mount",
	"mkfs.btrfs":                       "btrfs-progs",
	"mkfs.ext4":                        "e2fsprogs",
	"mkfs.xfs":                         "xfsprogs",
	"runc":                             "runc",
}

// Require fails the test, and never skips it, when a program is missing: a skipped end-to-end test proves nothing.
func Require(t testing.TB, programs ...string) {
	t.Helper()
	var missing []string
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, fmt.Sprintf("%s (Debian package %s)", program, packages[program]))
		}
	}
	if len(missing) > 0 {
		t.Fatalf("missing programs: %s", strings.Join(missing, ", "))
	}
}

// ModuleDirectory is the directory of this Go module.
func ModuleDirectory() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

var build = sync.OnceValues(func() (string, error) {
	script := filepath.Join(ModuleDirectory(), "build-tools.sh")
	bin, err := filepath.Abs(filepath.Join(ModuleDirectory(), "..", ".build", "bin"))
	if err != nil {
		return "", err
	}
	if output, err := exec.Command(script, bin).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", script, err, output)
	}
	return bin, nil
})

// Bin builds containerd and this module's commands once and returns their directory.
func Bin(t testing.TB) string {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// Run runs a program to its end and fails the test when it fails.
func Run(t testing.TB, program string, arguments ...string) string {
	t.Helper()
	output, err := exec.Command(program, arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(arguments, " "), err, output)
	}
	return strings.TrimSpace(string(output))
}

// Environment returns the process environment with the directory put first in PATH.
func Environment(directory string) []string {
	return append(os.Environ(), "PATH="+directory+":"+os.Getenv("PATH"))
}
