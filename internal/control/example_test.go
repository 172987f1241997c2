package control_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"breakwater/internal/control"

	"go.uber.org/zap"
)

func ExampleDial() {
	dir, err := os.MkdirTemp("", "cache")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()

	_, err = control.Dial(context.Background(), dir)
	fmt.Println(errors.Is(err, control.ErrNotRunning), err)

	server, err := control.Serve(dir, held(), nil, zap.NewNop())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = server.Close() }()
	client, err := control.Dial(context.Background(), dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()
	stat, err := client.Stat()
	fmt.Println(stat.Objects, "objects", err)
	// Output:
	// true no running instance answers
	// 7 objects <nil>
}
