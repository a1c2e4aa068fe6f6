// Command peer is either side of the bus with the node's own library, interfaces and stubs.
//
//	peer client BROKER   calls through the generated stubs, as lines of JSON on standard input say
//	peer serve BROKER    serves every interface with the outcomes of the first line of standard input
//
// Both end with their standard input. Values are hexadecimal in the library's encoding.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"

	"github.com/rs/zerolog"
	"github.com/rs/zerolog/log"
)

func main() {
	log.Logger = zerolog.New(os.Stderr)
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "peer client|serve BROKER")
		os.Exit(2)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	var err error
	switch os.Args[1] {
	case "client":
		err = runClient(os.Args[2], lines)
	case "serve":
		err = runServer(os.Args[2], lines)
	default:
		err = fmt.Errorf("unknown verb %s", os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var saying sync.Mutex

func say(what interface{}) {
	text, err := json.Marshal(what)
	if err != nil {
		panic(err)
	}
	saying.Lock()
	defer saying.Unlock()
	os.Stdout.Write(append(text, '\n'))
}
