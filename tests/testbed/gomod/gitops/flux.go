package main

import (
	"context"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/fluxcd/pkg/ssa"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// As whom Flux's kustomize-controller writes.
var fluxOwner = ssa.Owner{Field: "kustomize-controller", Group: "kustomize.toolkit.fluxcd.io"}

func flux() (*ssa.ResourceManager, error) {
	config, err := config()
	if err != nil {
		return nil, err
	}
	client, err := client.New(config, client.Options{})
	if err != nil {
		return nil, err
	}
	// Without a poller, as nothing is waited for.
	return ssa.NewResourceManager(client, nil, fluxOwner), nil
}

// What a Kustomization does with each of its objects, each time it is reconciled.
func fluxApply([]string) (step, func(), error) {
	manager, err := flux()
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, object *unstructured.Unstructured) (answer, error) {
		change, err := manager.Apply(ctx, object, ssa.DefaultApplyOptions())
		if err != nil {
			return answer{}, err
		}
		return answer{Result: change.Action.String()}, nil
	}, nothing, nil
}

// What `flux diff kustomization` shows.
func fluxDiff([]string) (step, func(), error) {
	manager, err := flux()
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, object *unstructured.Unstructured) (answer, error) {
		change, live, merged, err := manager.Diff(ctx, object, ssa.DefaultDiffOptions())
		if err != nil {
			return answer{}, err
		}
		message := ""
		if live != nil && merged != nil {
			message, err = difference(live, merged)
		}
		return answer{Result: change.Action.String(), Message: message}, err
	}, nothing, nil
}

// What would be changed, as a merge patch.
func difference(from, to *unstructured.Unstructured) (string, error) {
	before, err := from.MarshalJSON()
	if err != nil {
		return "", err
	}
	after, err := to.MarshalJSON()
	if err != nil {
		return "", err
	}
	patch, err := jsonpatch.CreateMergePatch(before, after)
	return string(patch), err
}
