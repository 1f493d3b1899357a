// A shop's checkout with go-redis.
//
//	go get github.com/redis/go-redis/v9
//	go run examples/clients/go-redis.go 127.0.0.1:6379 3
//
// The last argument is the protocol, RESP 2 or 3. The scenes at the end use products of their own, whose names no other run
// has. An unexpected answer ends the program with an error. See docs/clients.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// How long a call waits for its answer. Short, so that the program ends soon; a shop uses a second.
const timeout = 250 * time.Millisecond

// How often a call is sent in total.
const tries = 9

// --- The part to copy ---

// A client with a pool of connections, for all goroutines of a process. go-redis would repeat commands by itself, but not if the
// server does not answer while a connection is opened. The function ask handles both cases, so go-redis's own retries are off.
func connect(address string, protocol int) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:         address,
		Protocol:     protocol,
		DialTimeout:  timeout,
		ReadTimeout:  timeout,
		WriteTimeout: timeout,
		MaxRetries:   -1,
	})
}

type line struct {
	product string
	units   int
}

type reservation struct {
	id        string
	expiresAt int64
	lines     []line
}

type shop struct{ redis *redis.Client }

// The code of a refusal: the first word of its text. Empty if the error is none, such as a timeout. redis.Nil is none either:
// the answer is null.
func code(err error) string {
	var refusal redis.Error
	if err == nil || errors.Is(err, redis.Nil) || !errors.As(err, &refusal) {
		return ""
	}
	word, _, _ := strings.Cut(refusal.Error(), " ")
	return word
}

// Sends a command until it is answered. A refusal is an answer too, except TRYAGAIN. Only for commands that are safe to repeat: by
// their id, by ONCE, or because they read.
func (s shop) ask(ctx context.Context, words ...any) *redis.Cmd {
	for try := 1; ; try++ {
		answer := s.redis.Do(ctx, words...)
		err := answer.Err()
		word := code(err)
		isAnswered := err == nil || errors.Is(err, redis.Nil) || (word != "" && word != "TRYAGAIN")
		if isAnswered || try == tries || ctx.Err() != nil {
			return answer
		}
		fmt.Printf("  %s is sent again: %v\n", words[0], err)
		time.Sleep(min(10*time.Millisecond<<try, 500*time.Millisecond))
	}
}

// A map is a map in RESP3, and a slice of names and values in RESP2.
func asMap(reply any) map[string]any {
	fields := map[string]any{}
	switch reply := reply.(type) {
	case map[any]any:
		for name, value := range reply {
			fields[name.(string)] = value
		}
	case []any:
		for i := 0; i+1 < len(reply); i += 2 {
			fields[reply[i].(string)] = reply[i+1]
		}
	}
	return fields
}

// Holds all lines, or none, for this time.
func (s shop) reserve(ctx context.Context, order string, lines []line, hold time.Duration) (reservation, error) {
	words := []any{"INV.RESERVE", order, "PX", hold.Milliseconds(), "ITEMS"}
	for _, line := range lines {
		words = append(words, line.product, line.units)
	}
	reply, err := s.ask(ctx, words...).Result()
	if err != nil {
		return reservation{}, err
	}
	fields := asMap(reply)
	held := reservation{id: fields["reservation_id"].(string), expiresAt: fields["expires_at"].(int64)}
	for _, item := range fields["items"].([]any) {
		item := asMap(item)
		held.lines = append(held.lines, line{item["product_id"].(string), int(item["quantity"].(int64))})
	}
	return held, nil
}

// Sells a reservation: the customer has paid.
func (s shop) commit(ctx context.Context, order string) error {
	return s.ask(ctx, "INV.COMMIT", order).Err()
}

// Sells a reservation after its deadline, if the units are still free.
func (s shop) commitLate(ctx context.Context, order string) error {
	return s.ask(ctx, "INV.COMMIT", order, "LATE").Err()
}

// Sells many reservations in one call, and returns why others could not be sold. An element of the answer that is an error is a
// value of the type error.
func (s shop) commitAll(ctx context.Context, orders []string) (map[string]string, error) {
	words := []any{"INV.MCOMMIT"}
	for _, order := range orders {
		words = append(words, order)
	}
	answers, err := s.ask(ctx, words...).Slice()
	if err != nil {
		return nil, err
	}
	refused := map[string]string{}
	for i, answer := range answers {
		if refusal, ok := answer.(error); ok {
			refused[orders[i]] = code(refusal)
		}
	}
	return refused, nil
}

// The state of a reservation; empty if it is unknown.
func (s shop) state(ctx context.Context, order string) (string, error) {
	reply, err := s.ask(ctx, "INV.GET", order).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return asMap(reply)["state"].(string), nil
}

// Adds a delivery, and returns the units that are then available. A sum has no id: without ONCE, each retry would add it again.
func (s shop) restock(ctx context.Context, product string, units int, delivery string) (int, error) {
	return s.ask(ctx, "INV.ADJUST", product, units, "ONCE", delivery).Int()
}

// The stock of a product: its available and its reserved units.
func (s shop) stock(ctx context.Context, product string) (int64, int64, error) {
	reply, err := s.ask(ctx, "INV.STOCK", product).Slice()
	if err != nil {
		return 0, 0, err
	}
	fields := asMap(reply[0])
	return fields["available"].(int64), fields["reserved"].(int64), nil
}

// --- The scenes ---

func tell(address string, protocol int) {
	ctx := context.Background()
	s := shop{connect(address, protocol)}
	defer s.redis.Close()
	// Without a timeout, and without retries.
	neighbour := redis.NewClient(&redis.Options{Addr: address, ReadTimeout: -1, MaxRetries: -1})
	defer neighbour.Close()
	run := time.Now().UnixMilli()
	shoe, lace := fmt.Sprintf("SHOE-%d", run), fmt.Sprintf("LACE-%d", run)
	order := func(number int) string { return fmt.Sprintf("ORDER-%d-%d", run, number) }
	// Many commands in one round trip.
	filled, err := s.redis.Pipelined(ctx, func(shelves redis.Pipeliner) error {
		shelves.Do(ctx, "INV.SET", shoe, "AVAILABLE", 10)
		shelves.Do(ctx, "INV.SET", lace, "AVAILABLE", 50)
		return nil
	})
	must(err)
	check("the shelves", []any{filled[0].(*redis.Cmd).Val(), filled[1].(*redis.Cmd).Val()}, []any{int64(10), int64(50)})
	info, err := s.ask(ctx, "CLIENT", "INFO").Text()
	must(err)
	check("the protocol", strings.Contains(info, fmt.Sprintf(" resp=%d ", protocol)), true)

	fmt.Println("\nreserve, pay, commit")
	held, err := s.reserve(ctx, order(1), []line{{shoe, 2}, {lace, 4}}, 15*time.Minute)
	must(err)
	check("its id", held.id, order(1))
	check("its first line", held.lines[0], line{shoe, 2})
	check("a deadline in Unix ms", held.expiresAt > run, true)
	s.show(ctx, shoe, 8, 2)
	fmt.Println("  ... the customer pays")
	must(s.commit(ctx, order(1)))
	s.show(ctx, shoe, 8, 0)
	state, err := s.state(ctx, order(1))
	must(err)
	check("its state", state, "committed")
	state, err = s.state(ctx, order(1)+"-not")
	must(err)
	check("an order that never was", state, "")

	fmt.Println("\na retry after a timeout")
	s.whenTheAnswerIsLost(ctx, neighbour, "INV.RESERVE", func() {
		_, err := s.reserve(ctx, order(2), []line{{shoe, 2}}, 15*time.Minute)
		must(err)
	})
	s.show(ctx, shoe, 6, 2)
	s.whenTheAnswerIsLost(ctx, neighbour, "INV.COMMIT", func() { must(s.commit(ctx, order(2))) })
	s.show(ctx, shoe, 6, 0)
	s.whenTheAnswerIsLost(ctx, neighbour, "INV.ADJUST", func() {
		_, err := s.restock(ctx, shoe, 40, fmt.Sprintf("delivery-%d", run))
		must(err)
	})
	s.show(ctx, shoe, 46, 0)

	fmt.Println("\nnot enough")
	_, err = s.reserve(ctx, order(3), []line{{lace, 1}, {shoe, 47}}, 15*time.Minute)
	check("the code", code(err), "INSUFFICIENT")
	fmt.Println(" ", err)
	// All or nothing: no lace is held either.
	s.show(ctx, lace, 46, 0)

	fmt.Println("\nthe deadline")
	_, err = s.reserve(ctx, order(4), []line{{shoe, 6}}, time.Second)
	must(err)
	s.show(ctx, shoe, 40, 6)
	fmt.Println("  ... the customer is away")
	s.waitUntilFree(ctx, shoe)
	s.show(ctx, shoe, 46, 0)
	err = s.commit(ctx, order(4))
	check("the code", code(err), "EXPIRED")
	fmt.Println(" ", err)
	fmt.Println("  ... he has paid all the same, and nobody else has taken them")
	must(s.commitLate(ctx, order(4)))
	s.show(ctx, shoe, 40, 0)

	fmt.Println("\nmany at once")
	orders := []string{order(5), order(6), order(3)}
	for _, order := range orders[:2] {
		_, err = s.reserve(ctx, order, []line{{shoe, 1}}, 15*time.Minute)
		must(err)
	}
	// The third order was refused, so nothing is known of it.
	refused, err := s.commitAll(ctx, orders)
	must(err)
	check("what could not be sold", refused, map[string]string{order(3): "NOTFOUND"})
	fmt.Println(" ", refused)
	s.show(ctx, shoe, 38, 0)
}

// Prints the stock of a product, and checks it.
func (s shop) show(ctx context.Context, product string, available, reserved int64) {
	seenAvailable, seenReserved, err := s.stock(ctx, product)
	must(err)
	check("the stock of "+product, []int64{seenAvailable, seenReserved}, []int64{available, reserved})
	fmt.Printf("  %s: %d available, %d reserved\n", product, available, reserved)
}

// Waits until no units of a product are held.
func (s shop) waitUntilFree(ctx context.Context, product string) {
	for range 500 {
		if _, reserved, err := s.stock(ctx, product); err == nil && reserved == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	check(product+" is still held", true, false)
}

// Keeps the server busy for this many seconds.
const busy = "local start = os.clock() repeat until os.clock() - start > tonumber(ARGV[1])"

// A call that waits for a busy server longer than its client waits. The server carries it out nevertheless, so the second try is
// carried out too.
func (s shop) whenTheAnswerIsLost(ctx context.Context, other *redis.Client, command string, call func()) {
	before := s.calls(ctx, command)
	must(other.Ping(ctx).Err())
	done := make(chan error)
	go func() { done <- other.Do(ctx, "EVAL", busy, 0, 1.5*timeout.Seconds()).Err() }()
	// The other connection's command has to arrive first.
	time.Sleep(20 * time.Millisecond)
	call()
	if err := <-done; !errors.Is(err, redis.Nil) {
		must(err)
	}
	times := s.calls(ctx, command) - before
	check(command+" was carried out more than once", times > 1, true)
	fmt.Printf("  %s was carried out %d times\n", command, times)
}

// The number of times that the server has carried out a command.
func (s shop) calls(ctx context.Context, command string) int {
	counted, err := s.ask(ctx, "INFO", "commandstats").Text()
	must(err)
	_, found, isThere := strings.Cut(counted, "cmdstat_"+command+":calls=")
	if !isThere {
		return 0
	}
	number, _, _ := strings.Cut(found, ",")
	count, err := strconv.Atoi(number)
	must(err)
	return count
}

func check(what string, seen, expected any) {
	if !reflect.DeepEqual(seen, expected) {
		stop(fmt.Sprintf("%s: %#v is not %#v", what, seen, expected))
	}
}

func must(err error) {
	if err != nil {
		stop(err.Error())
	}
}

func stop(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(1)
}

func main() {
	if len(os.Args) != 3 || (os.Args[2] != "2" && os.Args[2] != "3") {
		stop("usage: go-redis host:port 2|3")
	}
	protocol, _ := strconv.Atoi(os.Args[2])
	fmt.Printf("go-redis %s, RESP%d\n", redis.Version(), protocol)
	tell(os.Args[1], protocol)
}
