using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

/// <summary>
/// Runs an op on the inputs of a PyTorch golden (float64, stored as float32) and compares output and gradients. The
/// tolerance of 1e-5 is that of tests/Golden/README.md for single ops.
/// </summary>
internal static class OpGolden
{
    private const float Tolerance = 1e-5f;

    private static readonly string File = Path.Combine(SharedData.Root, "tests", "Golden", "ops", "ops.safetensors");

    /// <summary>Checks <paramref name="op"/>, which gets the named inputs in order.</summary>
    public static void Check(string name, string[] inputs, Func<Tensor[], Tensor> op)
    {
        using var file = SafetensorsFile.Open(File);
        using var scope = TensorScope.Begin();
        var tensors = Array.ConvertAll(inputs, i => Read(file, $"{name}.{i}"));
        for (var i = 0; i < inputs.Length; i++)
            tensors[i].RequiresGrad = file.Entries.ContainsKey($"{name}.d{inputs[i]}");

        var y = op(tensors);
        Close(name + ".y", Read(file, name + ".y"), y);
        y.Backward(Read(file, name + ".dy"));
        for (var i = 0; i < inputs.Length; i++)
        {
            if (tensors[i].RequiresGrad)
                Close($"{name}.d{inputs[i]}", Read(file, $"{name}.d{inputs[i]}"), tensors[i].Grad!);
        }
    }

    private static Tensor Read(SafetensorsFile file, string key)
    {
        var entry = file.Entry(key);
        var shape = Shape.Of([.. entry.Shape.Select(d => (int)d)]);
        if (entry.DType == SafetensorsDType.I32)
            return Tensor.From(file.Span<int>(entry), shape);
        var values = new float[shape.Count];
        file.CopyToF32(entry, values.AsSpan());
        return Tensor.From(values, shape);
    }

    private static void Close(string what, Tensor expected, Tensor actual)
    {
        Assert.Equal(expected.Shape, actual.Shape);
        float[] wanted = expected.ToArray(), got = actual.ToArray();
        for (var i = 0; i < wanted.Length; i++)
        {
            var error = Math.Abs(wanted[i] - got[i]);
            Assert.True(error <= Tolerance, $"{what}[{i}] is off by {error}");
        }
    }
}
