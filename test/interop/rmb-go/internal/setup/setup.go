// Package setup holds what both programs are started with: relay, chain and key.
package setup

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	stdlog "log"
	"os"
	"strings"

	"github.com/rs/zerolog"
	"github.com/rs/zerolog/log"
	substrate "github.com/threefoldtech/tfchain/clients/tfchain-client-go"
	"github.com/threefoldtech/tfgrid-sdk-go/rmb-sdk-go/peer"
)

// Setup is a twin's secret and where to go with it.
type Setup struct {
	Secret  string
	Manager substrate.Manager
	Options []peer.PeerOpt
	keyType string
	session string
}

// keyFile is the gateway's key file: words or 64 hex digits without 0x.
type keyFile struct {
	KeyType string `json:"keyType"`
	Secret  string `json:"secret"`
}

// Parse reads the flags that both programs have, and those the caller has defined before.
func Parse() (Setup, error) {
	relays := flag.String("relay", "", "URLs of the twin's relays, separated by commas")
	chain := flag.String("chain", "", "URL of the chain's WebSocket endpoint")
	keyPath := flag.String("key-file", "", `file with {"keyType","secret"}`)
	session := flag.String("session", "", "name of the connection; none is the default one")
	plain := flag.Bool("plain", false, "publish no encryption key and encrypt nothing")
	level := flag.String("log-level", "warn", "of the library, written to standard error")
	flag.Parse()

	parsed, err := zerolog.ParseLevel(*level)
	if err != nil {
		return Setup{}, err
	}
	if parsed > zerolog.DebugLevel {
		// The chain library tells each connection there.
		stdlog.SetOutput(io.Discard)
	}
	log.Logger = zerolog.New(os.Stderr).Level(parsed).With().Timestamp().Logger()
	if *relays == "" || *chain == "" || *keyPath == "" {
		return Setup{}, errors.New("--relay, --chain and --key-file are required")
	}
	raw, err := os.ReadFile(*keyPath)
	if err != nil {
		return Setup{}, err
	}
	var key keyFile
	if err := json.Unmarshal(raw, &key); err != nil {
		return Setup{}, fmt.Errorf("%s is not a key file: %w", *keyPath, err)
	}
	if key.KeyType != peer.KeyTypeEd25519 && key.KeyType != peer.KeyTypeSr25519 {
		return Setup{}, fmt.Errorf("%s: key type %q", *keyPath, key.KeyType)
	}
	options := []peer.PeerOpt{
		peer.WithRelay(strings.Split(*relays, ",")...),
		peer.WithKeyType(key.KeyType),
		peer.WithEncryption(!*plain),
	}
	if *session != "" {
		options = append(options, peer.WithSession(*session))
	}
	return Setup{
		Secret: key.Secret, Manager: substrate.NewManager(*chain), Options: options,
		keyType: key.KeyType, session: *session,
	}, nil
}

// Self asks the chain for the twin of the key, and gives it with the connection's name.
func (s Setup) Self() (twin uint32, session *string, err error) {
	fromSecret := substrate.NewIdentityFromSr25519Phrase
	if s.keyType == peer.KeyTypeEd25519 {
		fromSecret = substrate.NewIdentityFromEd25519Phrase
	}
	identity, err := fromSecret(s.Secret)
	if err != nil {
		return 0, nil, err
	}
	chain, err := s.Manager.Substrate()
	if err != nil {
		return 0, nil, err
	}
	defer chain.Close()
	twin, err = chain.GetTwinByPubKey(identity.PublicKey())
	if s.session != "" {
		session = &s.session
	}
	return twin, session, err
}
