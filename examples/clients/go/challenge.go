package main

import (
	"bytes"
	"crypto/md5"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"gridnode.example/clients/go/grid"
)

//go:embed hashed.json
var hashedFile []byte
var hashed = generic(json.RawMessage(hashedFile))

// generic is a value as maps, lists and literals, its numbers as they are written.
func generic(value any) (object map[string]any) {
	decoder := json.NewDecoder(bytes.NewReader(must(json.Marshal(value))))
	decoder.UseNumber()
	must(0, decoder.Decode(&object))
	return object
}

// absent is how values that are not there are written, other than by nothing.
var absent = map[string]string{"integer": "0", "boolean": "false", "address": "<nil>", "prefix": "<nil>"}

// written is a value as text; how is its kind or, of an object, the pairs of its keys. Addresses and
// hexadecimal digits are taken as they are: this program writes them as nodes do.
func written(value, how any) (text string) {
	pairs, _ := how.([]any)
	switch value := value.(type) {
	case []any:
		for _, one := range value {
			text += written(one, how)
		}
	case map[string]any:
		for _, pair := range pairs {
			name, inner := pair.([]any)[0].(string), pair.([]any)[1]
			if inner == "data" {
				inner = hashed[value["type"].(string)]
			}
			text += written(value[name], inner)
		}
		for _, key := range slices.Sorted(maps.Keys(value)) {
			if how == "env" {
				text += fmt.Sprintf("%s=%s", key, value[key])
			}
		}
	default:
		if value == nil || value == "" {
			return absent[fmt.Sprint(how)]
		}
		return fmt.Sprint(value)
	}
	return text
}

// challenge is what is hashed, its hash for the contract, and the bytes that signers sign.
func challenge(d grid.Deployment) (text, hash string, message []byte) {
	text = written(generic(d), hashed["deployment"])
	digest := md5.Sum([]byte(text))
	hash = hex.EncodeToString(digest[:])
	if style := d.SignatureRequirement.SignatureStyle; style != nil && *style == "polka-wallet" {
		return text, hash, []byte("<Bytes>" + hash + "</Bytes>")
	}
	return text, hash, digest[:]
}
