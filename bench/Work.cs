using System.Reflection;
using BenchmarkDotNet.Running;
using CudaLora.Bench.Ops;

namespace CudaLora.Bench;

/// <summary>What one call does at least; 0 is not counted.</summary>
/// <param name="Flops">Floating-point operations.</param>
/// <param name="Bytes">Bytes read and written, every tensor once.</param>
/// <param name="Tokens">Tokens.</param>
internal readonly record struct Work(double Flops, double Bytes = 0, double Tokens = 0)
{
    /// <summary>
    /// From a parameter of the case that is an <see cref="IWork"/>, else from the method's or the class's attribute.
    /// </summary>
    public static Work? Of(BenchmarkCase one)
    {
        var method = one.Descriptor.WorkloadMethod;
        return one.Parameters.Items.Select(item => item.Value).OfType<IWork>().FirstOrDefault()?.Of(method.Name)
            ?? method.GetCustomAttribute<WorkAttribute>()?.Work
            ?? one.Descriptor.Type.GetCustomAttribute<TrafficAttribute>()?.Of(method.Name);
    }
}

/// <summary>A benchmark parameter that knows what one call of a method does.</summary>
internal interface IWork
{
    Work Of(string method);
}

/// <summary>What one call of a method does, where no parameter changes it.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class WorkAttribute : Attribute
{
    public double Flops { get; init; }

    public double Bytes { get; init; }

    public double Tokens { get; init; }

    public Work Work => new(Flops, Bytes, Tokens);
}
