package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// stockPeer is the name of the peer that the others are compared with.
const stockPeer = "stock"

// report prints one result: a line of JSON for programs on standard output, and a line of text for people on standard error.
func report(result any, format string, values ...any) error {
	line, err := json.Marshal(result)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	_, err = fmt.Println(string(line))
	return err
}
