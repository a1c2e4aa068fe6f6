package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/threefoldtech/zbus"
	"github.com/vmihailenco/msgpack"

	"gridnode.example/interop/zbus/internal/objects"
	"gridnode.example/interop/zbus/internal/registry"
)

// order is one call, one event of a stream, or the status of a module.
type order struct {
	ID     int    `json:"id"`
	Object string `json:"object"`
	// Method is empty for the status, and Object then a module's name.
	Method string   `json:"method"`
	Args   []string `json:"args"`
	// Raw calls the library's client and not the stub, which panics where the client returns an error.
	Raw        bool `json:"raw"`
	DeadlineMs int  `json:"deadlineMs"`
}

type outcome struct {
	ID      int      `json:"id"`
	Results []string `json:"results"`
	Error   string   `json:"error,omitempty"`
	// Failure is what the library said, or the panic of a stub.
	Failure string       `json:"failure,omitempty"`
	Status  *zbus.Status `json:"status,omitempty"`
}

var failureType = reflect.TypeOf((*error)(nil)).Elem()

func runClient(broker string, lines *bufio.Scanner) error {
	client, err := zbus.NewRedisClient(broker)
	if err != nil {
		return err
	}
	known := map[string]registry.Object{}
	names := []string{}
	for _, object := range registry.All {
		known[object.Name()] = object
		names = append(names, object.Name())
	}
	say(map[string]interface{}{"msg": "ready", "objects": names})
	for lines.Scan() {
		var each order
		if err := json.Unmarshal(lines.Bytes(), &each); err != nil {
			return err
		}
		go func() { say(do(client, known, each)) }()
	}
	return lines.Err()
}

func do(client zbus.Client, known map[string]registry.Object, o order) (result outcome) {
	result.ID = o.ID
	defer func() {
		if reason := recover(); reason != nil {
			result.Failure = fmt.Sprintf("panic: %v", reason)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(o.DeadlineMs)*time.Millisecond)
	defer cancel()
	if o.Method == "" {
		status, err := client.Status(ctx, o.Object)
		if err != nil {
			result.Failure = err.Error()
		}
		result.Status = &status
		return
	}
	object, ok := known[o.Object]
	if !ok {
		result.Failure = "no such object"
		return
	}
	if o.Raw {
		return raw(ctx, client, object, o)
	}
	stub := object.Stub(client).MethodByName(o.Method)
	if !stub.IsValid() {
		result.Failure = "no such method"
		return
	}
	in := []reflect.Value{reflect.ValueOf(ctx)}
	for i, text := range o.Args {
		at := i + 1
		of := stub.Type().In(min(at, stub.Type().NumIn()-1))
		if stub.Type().IsVariadic() && at >= stub.Type().NumIn()-1 {
			of = of.Elem()
		}
		value := reflect.New(of)
		if err := objects.Decode(text, value.Interface()); err != nil {
			result.Failure = fmt.Sprintf("argument %d: %v", i, err)
			return
		}
		in = append(in, value.Elem())
	}
	out := stub.Call(in)
	if len(out) == 2 && out[0].Kind() == reflect.Chan {
		if !out[1].IsNil() {
			result.Failure = out[1].Interface().(error).Error()
			return
		}
		chosen, event, open := reflect.Select([]reflect.SelectCase{
			{Dir: reflect.SelectRecv, Chan: out[0]},
			{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ctx.Done())},
		})
		if chosen != 0 || !open {
			result.Failure = "no event"
			return
		}
		out = []reflect.Value{event}
	}
	for _, each := range out {
		if each.Type() == failureType {
			if !each.IsNil() {
				result.Error = each.Interface().(error).Error()
			}
			continue
		}
		data, err := msgpack.Marshal(each.Interface())
		if err != nil {
			result.Failure = err.Error()
			return
		}
		result.Results = append(result.Results, hex.EncodeToString(data))
	}
	return
}

// raw sends the arguments with the widths they came in.
func raw(ctx context.Context, client zbus.Client, object registry.Object, o order) (result outcome) {
	result.ID = o.ID
	args := make([]interface{}, len(o.Args))
	for i, text := range o.Args {
		if err := objects.Decode(text, &args[i]); err != nil {
			result.Failure = err.Error()
			return
		}
	}
	module, id := object.Address()
	response, err := client.RequestContext(ctx, module, id, o.Method, args...)
	switch {
	case err != nil:
		result.Failure = err.Error()
	case response == nil:
		// What the library gives for every error of the protocol and of the broker.
		result.Failure = "no response"
	default:
		if err := response.CallError(); err != nil {
			result.Error = err.Error()
		}
		result.Results = []string{hex.EncodeToString(response.Output.Data)}
	}
	return
}
