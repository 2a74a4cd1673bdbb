package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// peerFlags collects --peer NAME=SOCKET.
type peerFlags []peerFlag

type peerFlag struct {
	name, socket string
}

func (p *peerFlags) String() string {
	return fmt.Sprint(*p)
}

func (p *peerFlags) Set(value string) error {
	name, socket, found := strings.Cut(value, "=")
	if !found || name == "" || socket == "" {
		return fmt.Errorf("want NAME=SOCKET, got %q", value)
	}
	// gRPC takes absolute paths only.
	socket, err := filepath.Abs(socket)
	if err != nil {
		return err
	}
	*p = append(*p, peerFlag{name, socket})
	return nil
}

// numbersFlag is a list of positive numbers, separated by commas.
type numbersFlag []int

func (n *numbersFlag) String() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(*n), " ", ","), "[]")
}

func (n *numbersFlag) Set(value string) error {
	*n = nil
	for field := range strings.SplitSeq(value, ",") {
		number, err := strconv.Atoi(field)
		if err != nil || number < 1 {
			return fmt.Errorf("want positive numbers separated by commas, got %q", value)
		}
		*n = append(*n, number)
	}
	return nil
}

// sizeFlag is a number of bytes, with or without the suffix KiB, MiB or GiB.
type sizeFlag int64

func (s *sizeFlag) String() string {
	return strconv.FormatInt(int64(*s), 10)
}

func (s *sizeFlag) Set(value string) error {
	number, unit := value, int64(1)
	for suffix, bytes := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if before, found := strings.CutSuffix(value, suffix); found {
			number, unit = before, bytes
		}
	}
	parsed, err := strconv.ParseInt(number, 10, 64)
	if err != nil || parsed < 0 {
		return fmt.Errorf("want bytes, or KiB, MiB, GiB, got %q", value)
	}
	*s = sizeFlag(parsed * unit)
	return nil
}
