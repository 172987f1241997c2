package main

import (
	"bytes"
	"fmt"
	"io"
	stdlog "log"
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

// serverLog is what an [http.Server] has to say: a panic, or no more file descriptors,
// and which handshakes failed.
func serverLog(log *zap.Logger) *stdlog.Logger {
	seldom := log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Second, 1, 0)
	}))
	return stdlog.New(serverLines{log, seldom}, "", 0)
}

// serverLines has one handshake a second logged: whoever connects without end is not to
// fill the log.
type serverLines struct{ log, seldom *zap.Logger }

func (s serverLines) Write(line []byte) (int, error) {
	text := bytes.TrimSpace(line)
	switch handshake := bytes.Contains(text, []byte("TLS handshake error")); {
	case handshake && bytes.HasSuffix(text, []byte(": EOF")): // a probe that only looks whether somebody listens
	case handshake:
		s.seldom.Info("a TLS handshake failed", zap.ByteString("error", text))
	default:
		s.log.Warn(string(text))
	}
	return len(line), nil
}
