using CudaLora.Engine;
using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Emulator;
using CudaLora.Lora;
using CudaLora.Tests.Ops;

namespace CudaLora.Tests.Lora;

/// <summary>A frozen weight on a CUDA device that lies inside the block matrix of its adapter.</summary>
public class AdapterRoomTests
{
    private const int In = 72, Out = 40, Rank = 4;

    [Theory, OnCudaDevices]
    public void TheWeightIsThereOnce(string device)
    {
        using var scope = OpCheck.On(device);
        using var layer = Layer();
        var values = layer.Weight.Value.ToArray();
        var (before, pool) = (Device.Default.Memory.InUse, Device.Default.Memory.Reserved);
        using (var lora = LoraLinear.From(layer, new LoraConfig { R = Rank }, new Generator(1)))
        {
            Assert.True(layer.Weight.Value.HasAdapterRoom);
            Assert.Equal(values, layer.Weight.Value.ToArray());
            // The pads in BF16 and A and B in F32; a pool rounds blocks up by at most an eighth.
            long more = new LoraBlockMatrix(In, Out).Count * 2 - In * Out * 2 + Rank * (In + Out) * 4;
            Assert.InRange(Device.Default.Memory.InUse - before, more, more * 3 / 2);
            Assert.InRange(Device.Default.Memory.Reserved - pool, 0, more * 3 / 2 + 4096);
        }
        Assert.False(layer.Weight.Value.HasAdapterRoom);
        Assert.Equal(values, layer.Weight.Value.ToArray());
        Assert.Equal(before, Device.Default.Memory.InUse);
    }

    // A pool's buckets would add up to an eighth to every weight of a model.
    [Fact]
    public void RoomIsOfItsExactSize()
    {
        using var device = new CudaDevice(new EmulatedDriver(), ownsDriver: true);
        var shape = Shape.Of(968, 968);
        using (var weight = Tensor.Owned(shape, DType.BF16, device))
        {
            weight.Clear();
            weight.MakeAdapterRoom();
            Assert.Equal(new LoraBlockMatrix(968, 968).Count * 2, device.Memory.InUse);
            Assert.Equal(device.Memory.InUse, device.Memory.Reserved);
            weight.RemoveAdapterRoom();
            Assert.Equal(Device.PooledSize(shape.Count * 2), device.Memory.InUse);
            weight.MakeAdapterRoom();
        }
        Assert.Equal((0, 0), (device.Memory.InUse, device.Memory.Reserved));
    }

    [Fact]
    public void WithoutMemoryToMoveTo_TheWeightStays_AndIsReadAsBefore()
    {
        using var device = new CudaDevice(new EmulatedDriver(memoryBytes: 16 << 20), ownsDriver: true);
        using var chosen = Device.Use(device);
        using var layer = new Linear(
            new ParameterPath("wide"), 1024, 1024, bias: false,
            new DeviceParameters(new RandomParameters(new Generator(1)), device, DType.BF16));
        var x = OpCheck.Bf16Leaf(3, 2, 1024);
        var plain = layer.Forward(x).ToArray();
        var lora = LoraLinear.From(layer, new LoraConfig { R = Rank }, new Generator(1));
        var rest = new List<Tensor>();
        Fill(rest);
        lora.Dispose();
        Assert.True(layer.Weight.Value.HasAdapterRoom);
        rest.ForEach(tensor => tensor.Dispose());
        Assert.Equal(plain, layer.Forward(x).ToArray());
        LoraLinear.From(layer, new LoraConfig { R = Rank }, new Generator(1)).Dispose();
        Assert.False(layer.Weight.Value.HasAdapterRoom);
        Assert.Equal(plain, layer.Forward(x).ToArray());
    }

    private static void Fill(List<Tensor> rest)
    {
        for (var bytes = 8 << 20; bytes >= 64 << 10; bytes /= 2)
        {
            try
            {
                while (true)
                    rest.Add(Tensor.Owned(Shape.Of(bytes / 4)));
            }
            catch (DeviceMemoryException)
            {
            }
        }
    }

    public static TheoryData<string, LoraStrategy> Strategies() => new(
        from device in TestDevice.Names.Where(name => name != "cpu")
        from strategy in Enum.GetValues<LoraStrategy>()
        select (device, strategy));

    [Theory, MemberData(nameof(Strategies))]
    public void MergedAndNot_GiveTheSame(string device, LoraStrategy strategy) => With(device, strategy, () =>
    {
        using var layer = Layer();
        var x = OpCheck.Bf16Leaf(3, 20, In);
        var plain = layer.Forward(x).ToArray();
        var values = layer.Weight.Value.ToArray();
        using (var lora = LoraLinear.From(
            layer, new LoraConfig { R = Rank, InitLoraWeights = LoraInit.Random }, new Generator(1)))
        {
            var apart = layer.Forward(x).ToArray();
            Assert.NotEqual(plain, apart);
            lora.Merge();
            Assert.True(layer.Weight.Value.HasAdapterRoom);
            // W0 + s B A is rounded to BF16 as a whole, 2^-9 of each product.
            Near(apart, layer.Forward(x).ToArray());
            lora.Unmerge();
            Assert.Equal(values, layer.Weight.Value.ToArray());
            Assert.Equal(apart, layer.Forward(x).ToArray());
            layer.Adapter = null;
            Assert.Equal(plain, layer.Forward(x).ToArray());
        }
        Assert.Equal(plain, layer.Forward(x).ToArray());
    });

    [Theory, MemberData(nameof(Strategies))]
    public void AdaptersTakeTurnsOnOneModel(string device, LoraStrategy strategy) => With(device, strategy, () =>
    {
        using var model = TinyModel.Create(placement: ModelPlacement.On(Device.Default));
        var plain = TinyModel.Logits(model);
        float[] first, second;
        using (var a = Adapter(model, 4, 1))
        {
            first = TinyModel.Logits(model);
            using (var b = Adapter(model, 8, 2))
            {
                second = TinyModel.Logits(model);
                a.Activate();
                Assert.Equal(first, TinyModel.Logits(model));
                a.Deactivate();
                Assert.Equal(plain, TinyModel.Logits(model));
                b.Activate();
                Assert.Equal(second, TinyModel.Logits(model));
            }
            Assert.All(a.Layers, layer => Assert.Equal(
                layer.Linear.InFeatures % 8 == 0, layer.Linear.Weight.Value.HasAdapterRoom));
            a.Activate();
            Assert.Equal(first, TinyModel.Logits(model));
        }
        Assert.NotEqual(first, second);
        Assert.Equal(plain, TinyModel.Logits(model));
        Assert.DoesNotContain(model.Parameters(), p => p.Value.HasAdapterRoom);
    });

    [Theory, OnCudaDevices]
    public void FilesOfTheModelAndTheAdapterAreTheSame(string device)
    {
        using var scope = OpCheck.On(device);
        using var folder = new TemporaryFolder();
        using var model = TinyModel.Create(placement: ModelPlacement.On(Device.Default));
        model.Save(folder.File("before"));
        using var adapter = Adapter(model, 4, 1);
        model.Save(folder.File("after"));
        Assert.Equal(
            File.ReadAllBytes(Path.Combine(folder.File("before"), "model.safetensors")),
            File.ReadAllBytes(Path.Combine(folder.File("after"), "model.safetensors")));
        adapter.Save(folder.File("adapter"));
        var logits = TinyModel.Logits(model);
        using var again = LoraAdapter.Load(model, folder.File("adapter"), "again");
        Assert.Equal(logits, TinyModel.Logits(model));
        Assert.Equal(
            adapter.Layers.Select(layer => layer.A.Path.Value), again.Layers.Select(layer => layer.A.Path.Value));
    }

    [Theory, OnCudaDevices]
    public void AnOpThatCannotReadSuchRowsSaysSo(string device)
    {
        using var scope = OpCheck.On(device);
        using var layer = Layer();
        using var lora = LoraLinear.From(layer, new LoraConfig { R = Rank }, new Generator(1));
        var error = Assert.Throws<InvalidOperationException>(() => layer.Weight.Value.Add(layer.Weight.Value));
        Assert.StartsWith("[tensor] rows must follow each other", error.Message);
        // What trains is dense.
        lora.Dispose();
        using var other = LoraLinear.From(layer, new LoraConfig { R = Rank }, new Generator(1));
        layer.Weight.Trainable = true;
        Assert.False(layer.Weight.Value.HasAdapterRoom);
    }

    private static LoraAdapter Adapter(CausalLM model, int rank, ulong seed)
    {
        var config = new LoraConfig { R = rank, TargetModules = TrainerTests.Config(0).TargetModules };
        var adapter = LoraAdapter.Create(model, config, new Generator(seed), $"seed {seed}");
        // Values as after some training.
        foreach (var (i, parameter) in adapter.TrainableParameters().Index())
            parameter.Value.CopyFrom(
                Array.ConvertAll(GradientCheck.Values((int)seed * 100 + i, parameter.Value.Shape), v => 0.3f * v));
        return adapter;
    }

    private static Linear Layer() => new(
        new ParameterPath("layer"), In, Out, true,
        new DeviceParameters(new RandomParameters(new Generator(1)), Device.Default, DType.BF16));

    private static void With(string device, LoraStrategy strategy, Action test)
    {
        using var scope = OpCheck.On(device);
        var cuda = (CudaDevice)Device.Default;
        cuda.LoraStrategy = strategy;
        try
        {
            test();
        }
        finally
        {
            cuda.LoraStrategy = LoraStrategy.Auto;
        }
    }

    private static void Near(float[] expected, float[] actual)
    {
        var scale = expected.Max(Math.Abs);
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], actual[i], scale / 64);
    }
}
