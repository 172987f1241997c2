package index

import (
	"sync"

	"go.uber.org/zap"
)

// trouble tells of what the disk refuses: every time as an event, once in the log,
// and once more when it works again.
type trouble struct {
	events Events
	log    *zap.Logger

	mu   sync.Mutex // guards with
	with map[string]bool
}

// note takes the outcome of an operation and returns it.
func (t *trouble) note(operation string, err error) error {
	if err != nil {
		t.events.IndexFailed(operation)
	}
	t.mu.Lock()
	before := t.with[operation]
	if t.with == nil {
		t.with = make(map[string]bool)
	}
	t.with[operation] = err != nil
	t.mu.Unlock()
	switch {
	case err != nil && !before:
		t.log.Error("index: the disk refuses; what is known is kept in memory and tried again",
			zap.String("operation", operation), zap.Error(err))
	case err == nil && before:
		t.log.Info("index: the disk works again", zap.String("operation", operation))
	}
	return err
}

// damaged tells of a file that was not what had been written.
func (t *trouble) damaged(err error, aside, instead string) {
	t.events.IndexDamaged()
	t.log.Error("index: damaged", zap.Error(err), zap.String("renamed_to", aside), zap.String("instead", instead))
}
