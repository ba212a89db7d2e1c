using CudaLora.Engine;

namespace CudaLora.Tests.Lora;

/// <summary>A case of tests/Golden/methods: PyTorch in float64, stored as float32.</summary>
internal sealed class MethodGolden(string name) : IDisposable
{
    // Of tests/Golden/README.md.
    private const float Tolerance = 1e-5f;

    private readonly SafetensorsFile file = SafetensorsFile.Open(
        Path.Combine(SharedData.Root, "tests", "Golden", "methods", "methods.safetensors"));

    public Tensor Read(string part)
    {
        var entry = file.Entry($"{name}.{part}");
        var shape = Shape.Of([.. entry.Shape.Select(d => (int)d)]);
        var values = new float[shape.Count];
        file.CopyToF32(entry, values.AsSpan());
        return Tensor.From(values, shape);
    }

    public void Close(string part, Tensor actual)
    {
        var expected = Read(part);
        Assert.Equal(expected.Shape, actual.Shape);
        float[] wanted = expected.ToArray(), got = actual.ToArray();
        for (var i = 0; i < wanted.Length; i++)
            Assert.True(Math.Abs(wanted[i] - got[i]) <= Tolerance, $"{name}.{part}[{i}]: {wanted[i]} and {got[i]}");
    }

    public void Dispose() => file.Dispose();
}
