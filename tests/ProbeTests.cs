namespace CudaLora.Tests;

public class ProbeTests
{
    [Fact]
    public void Runs() => Assert.Equal(4, 2 + 2);
}
