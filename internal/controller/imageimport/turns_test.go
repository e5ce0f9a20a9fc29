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
	turns := newTurns(8)
	for i := range 2 {
		if !turns.take(itemNamed(fmt.Sprint(i), "slow")) {
			t.Fatalf("no turn for stream %d of the first two", i)
		}
	}
	if turns.take(itemNamed("2", "slow")) {
		t.Error("a third turn with a quarter of 8 workers")
	}
	for i := range 2 {
		if !turns.take(itemNamed(fmt.Sprint("o", i), "other")) {
			t.Errorf("no turn %d with another host", i)
		}
	}
	if again := turns.giveBack("other"); len(again) > 0 {
		t.Errorf("the end of an import from one host calls streams of another: %v", again)
	}
	if again := turns.giveBack("slow"); !slices.Equal(again, []importKey{itemNamed("2", "slow")}) {
		t.Errorf("the end of an import calls %v", again)
	}
	if !turns.take(itemNamed("2", "slow")) {
		t.Error("no turn for the stream that was called")
	}
}

func TestNobodyIsForgottenThatWaitsForATurn(t *testing.T) {
	turns := newTurns(8)
	turns.take(itemNamed("a", "h"))
	turns.take(itemNamed("b", "h"))
	for i := range 10 {
		for range 2 { // twice: it waits once all the same
			turns.take(itemNamed(fmt.Sprint(i), "h"))
		}
	}
	// Those that are called turn out not to need their turn.
	called := len(turns.giveBack("h"))
	if called != 2 {
		t.Errorf("%d streams are called while an import is under way, want as many as may have a turn", called)
	}
	if called += len(turns.giveBack("h")); called != 10 {
		t.Errorf("%d of 10 streams were called when no import was left", called)
	}
	if len(turns.waiting) > 0 {
		t.Errorf("left over: %v", turns.waiting)
	}
	if !turns.take(itemNamed("a", "h")) || !turns.take(itemNamed("b", "h")) {
		t.Error("turns that were given back cannot be taken again")
	}
}
