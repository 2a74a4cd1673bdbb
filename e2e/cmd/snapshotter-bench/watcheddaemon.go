package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// watchedDaemon is a daemon whose log is read line by line.
type watchedDaemon struct {
	command *exec.Cmd
	peer    *peer
	ended   chan struct{}

	mutex sync.Mutex
	// state of the superblock, in the daemon's words.
	state string
	// poisonedAt is when, by the wall clock, the first record was written that says that a snapshot is poisoned; zero if there was none.
	poisonedAt time.Time
}

// logLine is what is used of one.
type logLine struct {
	// RecordedAt is in lines about a poison.
	RecordedAt time.Time `json:"recorded_at"`
	Message    string    `json:"message"`
}

// startWatched starts the daemon and waits for its first answer. Its log also goes to a file.
func startWatched(ctx context.Context, peerList peerFlags, arguments []string, logFile string) (*watchedDaemon, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	d := &watchedDaemon{command: exec.Command(arguments[0], arguments[1:]...), ended: make(chan struct{}), state: "healthy"}
	lines, err := d.command.StderrPipe()
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	if err := d.command.Start(); err != nil {
		return nil, err
	}
	copied, err := os.OpenFile(logFile, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	go d.follow(io.TeeReader(lines, copied), copied)
	if _, err := firstAnswer(ctx, peerList, begun); err != nil {
		d.stop()
		return nil, err
	}
	peers, err := connect(peerList)
	if err != nil {
		d.stop()
		return nil, err
	}
	d.peer = peers[0]
	return d, nil
}

func (d *watchedDaemon) follow(log io.Reader, copied io.Closer) {
	defer close(d.ended)
	defer copied.Close()
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var line logLine
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue
		}
		d.mutex.Lock()
		if state, found := strings.CutPrefix(line.Message, "superblock is "); found {
			d.state = state
		}
		if line.Message == "poisoned" && d.poisonedAt.IsZero() {
			d.poisonedAt = line.RecordedAt
		}
		d.mutex.Unlock()
	}
	// How it ends says nothing about what it measured.
	_ = d.command.Wait()
}

// forgetPoison makes poisoned wait for the next one.
func (d *watchedDaemon) forgetPoison() {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.poisonedAt = time.Time{}
}

// poisoned is when the daemon had recorded the first poison since forgetPoison.
func (d *watchedDaemon) poisoned() (time.Time, error) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.poisonedAt.IsZero() {
		return time.Time{}, fmt.Errorf("no snapshot is poisoned")
	}
	return d.poisonedAt, nil
}

func (d *watchedDaemon) healthy() error {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.state != "healthy" {
		return fmt.Errorf("the superblock is %s", d.state)
	}
	return nil
}

func (d *watchedDaemon) stop() {
	if d.peer != nil {
		disconnect([]*peer{d.peer})
	}
	// It may have ended by itself.
	_ = d.command.Process.Signal(syscall.SIGTERM)
	<-d.ended
}
