using System.Reflection;
using Xunit.Sdk;
using Xunit.v3;

namespace CudaLora.Tests.Ops;

/// <summary>As <see cref="OnDevicesAttribute"/>, without the CPU: what only CUDA computes, such as BF16.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class OnCudaDevicesAttribute : DataAttribute
{
    public override bool SupportsDiscoveryEnumeration() => true;

    public override ValueTask<IReadOnlyCollection<ITheoryDataRow>> GetData(
        MethodInfo testMethod, DisposalTracker disposalTracker) =>
        new([.. TestDevice.Names.Where(name => name != "cpu").Select(name => new TheoryDataRow<string>(name))]);
}
