// Package poll waits for conditions, always with a bound.
package poll

import (
	"fmt"
	"time"
)

const interval = 20 * time.Millisecond

// Until calls the condition until it returns nil. After the bound it returns the condition's last error.
func Until(bound time.Duration, condition func() error) error {
	deadline := time.Now().Add(bound)
	for {
		err := condition()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("still after %s: %w", bound, err)
		}
		time.Sleep(interval)
	}
}
