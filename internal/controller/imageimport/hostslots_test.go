package imageimport

import (
	"fmt"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func itemNamed(name, host string) importKey {
	return importKey{types.NamespacedName{Namespace: "ns", Name: name}, host}
}

func TestTurnsOfOneHostLeaveRoomForOthers(t *testing.T) {
	slots := newHostSlots(8)
	for i := range 2 {
		if !slots.acquire(itemNamed(fmt.Sprint(i), "slow")) {
			t.Fatalf("no turn for stream %d of the first two", i)
		}
	}
	if slots.acquire(itemNamed("2", "slow")) {
		t.Error("a third turn with a quarter of 8 workers")
	}
	for i := range 2 {
		if !slots.acquire(itemNamed(fmt.Sprint("o", i), "other")) {
			t.Errorf("no turn %d with another host", i)
		}
	}
	if again := slots.release("other"); len(again) > 0 {
		t.Errorf("the end of an import from one host calls streams of another: %v", again)
	}
	if again := slots.release("slow"); !slices.Equal(again, []importKey{itemNamed("2", "slow")}) {
		t.Errorf("the end of an import calls %v", again)
	}
	if !slots.acquire(itemNamed("2", "slow")) {
		t.Error("no turn for the stream that was called")
	}
}

func TestNobodyIsForgottenThatWaitsForATurn(t *testing.T) {
	slots := newHostSlots(8)
	slots.acquire(itemNamed("a", "h"))
	slots.acquire(itemNamed("b", "h"))
	for i := range 10 {
		for range 2 { // twice: it waits once all the same
			slots.acquire(itemNamed(fmt.Sprint(i), "h"))
		}
	}
	// Those that are called turn out not to need their turn.
	called := len(slots.release("h"))
	if called != 2 {
		t.Errorf("%d streams are called while an import is under way, want as many as may have a turn", called)
	}
	if called += len(slots.release("h")); called != 10 {
		t.Errorf("%d of 10 streams were called when no import was left", called)
	}
	if len(slots.waiting) > 0 {
		t.Errorf("left over: %v", slots.waiting)
	}
	if !slots.acquire(itemNamed("a", "h")) || !slots.acquire(itemNamed("b", "h")) {
		t.Error("released slots cannot be acquired again")
	}
}
