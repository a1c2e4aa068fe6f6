// Package registry names every interface of the node's modules and the stub that its own project generated for it.
package registry

import (
	"reflect"

	"github.com/threefoldtech/zbus"
	"github.com/threefoldtech/zosbase/pkg"
	"github.com/threefoldtech/zosbase/pkg/stubs"
)

// Object is one interface.
type Object struct {
	Interface reflect.Type
	// Stub is a pointer to the generated stub.
	Stub func(zbus.Client) reflect.Value
}

// Name is MODULE.OBJECT@VERSION as the stub has it.
func (o Object) Name() string {
	module, id := o.Address()
	return module + "." + id.String()
}

// Address is what the stub calls.
func (o Object) Address() (module string, id zbus.ObjectID) {
	stub := o.Stub(nil).Elem()
	object := stub.FieldByName("object")
	id.Name = object.FieldByName("Name").String()
	id.Version = zbus.Version(object.FieldByName("Version").String())
	return stub.FieldByName("module").String(), id
}

func of[I, S any](stub func(zbus.Client) *S) Object {
	return Object{
		Interface: reflect.TypeOf((*I)(nil)).Elem(),
		Stub:      func(client zbus.Client) reflect.Value { return reflect.ValueOf(stub(client)) },
	}
}

// All are the interfaces of this version of the project.
var All = []Object{
	of[pkg.ContainerModule](stubs.NewContainerModuleStub),
	of[pkg.Flister](stubs.NewFlisterStub),
	of[pkg.Gateway](stubs.NewGatewayStub),
	of[pkg.HostMonitor](stubs.NewHostMonitorStub),
	of[pkg.IdentityManager](stubs.NewIdentityManagerStub),
	of[pkg.Networker](stubs.NewNetworkerStub),
	of[pkg.NetworkerLight](stubs.NewNetworkerLightStub),
	of[pkg.PerformanceMonitor](stubs.NewPerformanceMonitorStub),
	of[pkg.Provision](stubs.NewProvisionStub),
	of[pkg.QSFSD](stubs.NewQSFSDStub),
	of[pkg.Registrar](stubs.NewRegistrarStub),
	of[pkg.Statistics](stubs.NewStatisticsStub),
	of[pkg.StorageModule](stubs.NewStorageModuleStub),
	of[pkg.SubstrateGateway](stubs.NewSubstrateGatewayStub),
	of[pkg.SystemMonitor](stubs.NewSystemMonitorStub),
	of[pkg.VMModule](stubs.NewVMModuleStub),
	of[pkg.VersionMonitor](stubs.NewVersionMonitorStub),
	of[pkg.ZUI](stubs.NewZUIStub),
}
