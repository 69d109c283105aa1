// Runs one Lua script the way Argo CD runs health checks and actions: the same interpreter, the same few libraries, the
// object as the global `obj`, one second. Reads {"script": TEXT, "object": {...}} from stdin and prints what the script
// returns as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	lua "github.com/yuin/gopher-lua"
)

type question struct {
	Script string         `json:"script"`
	Object map[string]any `json:"object"`
}

func main() {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fail(fmt.Errorf("stdin: %w", err))
	}
	answer, err := run(asked)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "argolua:", err)
	os.Exit(1)
}

func run(asked question) (any, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	// No string, math or io: scripts that are not part of Argo CD do not get them.
	for name, open := range map[string]lua.LGFunction{
		lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable, lua.OsLibName: openClock,
	} {
		if err := opened(state, name, open); err != nil {
			return nil, err
		}
	}
	if err := opened(state, lua.LoadLibName, lua.OpenPackage); err != nil {
		return nil, err
	}
	state.PreloadModule(lua.OsLibName, openClock)
	limit, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(limit)
	state.SetGlobal("obj", toLua(state, asked.Object))
	if err := state.DoString(asked.Script); err != nil {
		return nil, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return nil, fmt.Errorf("the script returned a %s, not a table", state.Get(-1).Type())
	}
	return fromLua(table)
}

func opened(state *lua.LState, name string, open lua.LGFunction) error {
	return state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name))
}

// openClock is all of `os` that Argo CD leaves: time and date.
func openClock(state *lua.LState) int {
	clock := state.NewTable()
	full := lua.NewState()
	defer full.Close()
	library := full.GetGlobal("os").(*lua.LTable)
	for _, name := range []string{"time", "date"} {
		clock.RawSetString(name, library.RawGetString(name))
	}
	state.SetGlobal("os", clock)
	state.Push(clock)
	return 1
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch known := value.(type) {
	case bool:
		return lua.LBool(known)
	case float64:
		return lua.LNumber(known)
	case string:
		return lua.LString(known)
	case []any:
		list := state.CreateTable(len(known), 0)
		for _, item := range known {
			list.Append(toLua(state, item))
		}
		return list
	case map[string]any:
		table := state.CreateTable(0, len(known))
		for name, item := range known {
			table.RawSetString(name, toLua(state, item))
		}
		return table
	}
	return lua.LNil
}

// fromLua tells a list from an object by its first key; an empty table is a list, as in Argo CD.
func fromLua(value lua.LValue) (any, error) {
	switch known := value.(type) {
	case lua.LBool:
		return bool(known), nil
	case lua.LNumber:
		return float64(known), nil
	case lua.LString:
		return string(known), nil
	case *lua.LTable:
		if first, _ := known.Next(lua.LNil); first.Type() != lua.LTString {
			return listFrom(known)
		}
		return objectFrom(known)
	}
	return nil, fmt.Errorf("a %s cannot be told as JSON", value.Type())
}

func listFrom(table *lua.LTable) (any, error) {
	list := make([]any, 0, table.Len())
	for at := 1; at <= table.Len(); at++ {
		item, err := fromLua(table.RawGetInt(at))
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, nil
}

func objectFrom(table *lua.LTable) (any, error) {
	object := map[string]any{}
	var trouble error
	table.ForEach(func(name, item lua.LValue) {
		found, err := fromLua(item)
		if err != nil {
			trouble = err
		}
		object[name.String()] = found
	})
	return object, trouble
}
