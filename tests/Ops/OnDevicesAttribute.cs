using System.Reflection;
using Xunit.Sdk;
using Xunit.v3;

namespace CudaLora.Tests.Ops;

/// <summary>
/// Runs a test once on each device: <c>[Theory, OnDevices] void Name(string device)</c>, the body inside
/// <see cref="TestDevice.Use"/>. The rows are cpu, emulator (all checks on) and, where a GPU answers, cuda.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class OnDevicesAttribute : DataAttribute
{
    public override bool SupportsDiscoveryEnumeration() => true;

    public override ValueTask<IReadOnlyCollection<ITheoryDataRow>> GetData(
        MethodInfo testMethod, DisposalTracker disposalTracker) =>
        new([.. TestDevice.Names.Select(name => new TheoryDataRow<string>(name))]);
}
