package main

import (
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// What is logged waits at most this long, and this many bytes, before it is
// written: a write for each line costs a fifth of what a small answer does.
const (
	logInterval = time.Second
	logBuffer   = 256 << 10
)

// openLog returns a log of JSON lines, written to w in blocks, and a func that
// writes the last of them.
func openLog(level string, w io.Writer) (*zap.Logger, func(), error) {
	least, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, nil, fmt.Errorf("log.level: %w", err)
	}
	buffered := &zapcore.BufferedWriteSyncer{WS: zapcore.AddSync(w), Size: logBuffer, FlushInterval: logInterval}
	encoder := zap.NewProductionEncoderConfig()
	encoder.TimeKey, encoder.MessageKey = "time", "message"
	encoder.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoder.EncodeDuration = zapcore.SecondsDurationEncoder
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoder), buffered, least))
	return log, func() { _ = buffered.Stop() }, nil // nobody is left to tell when the last lines cannot be written
}
