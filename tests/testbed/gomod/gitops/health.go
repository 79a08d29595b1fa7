package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
)

// How far an object has come, for `wait` and health checks of Flux and everything else that uses kstatus.
func kstatus([]string) (step, func(), error) {
	return func(_ context.Context, object *unstructured.Unstructured) (answer, error) {
		result, err := status.Compute(object)
		if err != nil {
			return answer{}, err
		}
		return answer{Result: result.Status.String(), Message: result.Message}, nil
	}, nothing, nil
}

// Time that Argo CD gives a script.
const scriptTimeout = time.Second

// A health script, run as Argo CD's `util/lua` runs it: by the same interpreter, with the libraries `package`, base and
// `table`, and nothing else. Argo CD also has `os.time` and `os.date`, on which no health should depend.
type script string

// The health of an object, as Argo CD computes it with this script in its settings.
func argoHealth(arguments []string) (step, func(), error) {
	text, err := os.ReadFile(arguments[0])
	if err != nil {
		return nil, nil, err
	}
	return func(_ context.Context, object *unstructured.Unstructured) (answer, error) {
		health, err := health.GetResourceHealth(object, script(text))
		if err != nil {
			return answer{}, err
		}
		if health == nil {
			return answer{}, fmt.Errorf("%s has no health", object.GetKind())
		}
		return answer{Result: string(health.Status), Message: health.Message}, nil
	}, nothing, nil
}

// GetResourceHealth implements health.HealthOverride.
func (s script) GetResourceHealth(object *unstructured.Unstructured) (*health.HealthStatus, error) {
	returned, err := s.run(object)
	if err != nil {
		return nil, err
	}
	encoded, err := luajson.Encode(returned)
	if err != nil {
		return nil, err
	}
	result := &health.HealthStatus{}
	if err := json.Unmarshal(encoded, result); err != nil {
		return nil, err
	}
	switch result.Status {
	case health.HealthStatusHealthy, health.HealthStatusProgressing, health.HealthStatusSuspended,
		health.HealthStatusDegraded, health.HealthStatusMissing, health.HealthStatusUnknown:
		return result, nil
	}
	return nil, fmt.Errorf("the script returned %s", encoded)
}

func (s script) run(object *unstructured.Unstructured) (lua.LValue, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage,
		lua.BaseLibName: lua.OpenBase,
		lua.TabLibName:  lua.OpenTable,
	} {
		library := lua.P{Fn: state.NewFunction(open), Protect: true}
		if err := state.CallByParam(library, lua.LString(name)); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), scriptTimeout)
	defer cancel()
	state.SetContext(ctx)
	encoded, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	value, err := luajson.Decode(state, encoded)
	if err != nil {
		return nil, err
	}
	state.SetGlobal("obj", value)
	if err := state.DoString(string(s)); err != nil {
		return nil, err
	}
	return state.Get(-1), nil
}
